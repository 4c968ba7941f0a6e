"""Byte counters through reloads: some versions of systemd lose those of open sockets, the agent brings them back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import AGENT, Stage, install_agent, wait_for
from steps import apply, projctl, properties, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE_STOP = "d649923182a64247b971172f532f4fa7"
NO_COUNTERS = "4c17779e887147b59460df30aa683277"
CONTROL = "/run/systemd/system.control"
PROJECTS = {
    "brief": server(listen=5001, idle="4s"),
    "never": server(listen={"web": 5002, "admin": 5003}, idle="never"),
    "sleeper": server(listen=5004, idle="1h"),
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        stage = install_agent(lab)
        apply(lab, PROJECTS)
        for port in (5002, 5003):
            stage.get(port)
        yield stage


def shown(stage: Stage, name: str) -> int | None:
    signals: dict[str, Any] = json.loads(projctl(stage.lab, "status", name, "--json").stdout)["signals"]
    return signals["bytes_in"]


def counted(stage: Stage, name: str) -> int:
    """The bytes that came in, once all sockets count."""

    def read() -> list[str]:
        units = [f"projctl-{name}{part}.socket" for part in (("", ".admin") if name == "never" else ("",))]
        return [properties(stage.lab, unit, "IPIngressBytes")["IPIngressBytes"] for unit in units]

    wait_for(lambda: all(value.isdigit() for value in read()), f"counters of {name}")
    return sum(map(int, read()))


def received(stage: Stage, name: str) -> float:
    return stage.metrics()["projctl_receive_bytes_total", ("project", name)]


@pytest.mark.parametrize("load", ["daemon-reload", "daemon-reexec"])
def test_they_go_on_where_they_were(stage: Stage, load: str) -> None:
    before, total = counted(stage, "never"), received(stage, "never")
    stage.systemctl(load)
    again = counted(stage, "never")
    assert again >= before > 0
    for port in (5002, 5003):
        stage.get(port)
    after = counted(stage, "never")
    assert after > again
    assert (shown(stage, "never") or 0) >= after
    assert received(stage, "never") >= total + after - again


def test_figures_do_not_fall_where_counters_begin_anew(stage: Stage) -> None:
    """As they do where systemd loads its units twice before anybody asks for them."""
    total = received(stage, "never")
    stage.systemctl("stop", AGENT)
    for _ in range(2):
        stage.systemctl("daemon-reload")
    stage.systemctl("start", AGENT)
    before = counted(stage, "never")
    assert received(stage, "never") >= total
    stage.get(5002)
    assert counted(stage, "never") > before
    assert received(stage, "never") > total


def test_what_slept_through_a_reload_counts_from_its_first_look_on(stage: Stage) -> None:
    stage.systemctl("daemon-reload")
    stage.get(5004)
    before = counted(stage, "sleeper")
    stage.get(5004)
    assert counted(stage, "sleeper") > before


def test_a_short_request_after_a_reload_is_use(stage: Stage) -> None:
    stage.get(5001)
    before = counted(stage, "brief")
    stage.systemctl("daemon-reload")
    assert counted(stage, "brief") >= before
    stage.get(5001)
    used, moved = stage.lab.run(["date", "+%s.%N"]).stdout, counted(stage, "brief")
    assert moved > before
    stage.wait_until_asleep("brief")
    (entry,) = stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="brief")
    assert int(entry["__REALTIME_TIMESTAMP"]) / 1e6 >= float(used) + 3.9
    assert entry["PROJCTL_ACTIVITY"] == "bytes"
    assert int(entry["PROJCTL_BYTES_IN"]) >= moved


def test_nobody_was_told_that_they_were_away(stage: Stage) -> None:
    assert stage.entries(MESSAGE_ID=NO_COUNTERS) == []


def test_nothing_stays_of_a_project_that_goes(stage: Stage) -> None:
    stage.systemctl("set-property", "--runtime", "projctl-never.socket", "IPAccounting=yes")
    assert stage.lab.file(f"{CONTROL}/projctl-never.socket.d").exists()
    assert projctl(stage.lab, "diff").stdout == ""
    assert "never" not in projctl(stage.lab, "doctor", check=False).stdout
    apply(stage.lab, {"brief": PROJECTS["brief"]})
    assert not stage.lab.file(f"{CONTROL}/projctl-never.socket.d").exists()
