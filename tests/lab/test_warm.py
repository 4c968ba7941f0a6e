"""Projects that run before anybody asks: from boot on, always, or in some hours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, projctl, projects, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM = "b6d815e6403b411e4dc25bd714c350aa"
HOUR = 3600.0
#: However long an apply takes, this comes after it.
SOON = "*:*:00/3"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def daily(stage: Stage, seconds: float) -> str:
    """The time of day so many seconds from now, as a calendar event."""
    return stage.lab.run(
        ["date", "-u", "-d", f"@{time.time() + seconds:.0f}", "+%H:%M:%S UTC"]
    ).stdout.strip()


def hours(stage: Stage, begins: float | None, ends: float | None, **more: Any) -> dict[str, Any]:
    """A project that is warm between these seconds from now (None: very soon), and else is idle after a second."""
    events = (SOON if seconds is None else daily(stage, seconds) for seconds in (begins, ends))
    window = dict(zip(("from", "until"), events, strict=True))
    return {"office": server(listen=5001, idle="1s", warm=window, **more)}


def state(stage: Stage, unit: str) -> str:
    return stage.systemctl("show", "-P", "ActiveState", unit)


def stays_up(stage: Stage, name: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert stage.state(name) == "active"
        time.sleep(0.2)


def test_hours_that_have_begun_begin_at_once_and_end(stage: Stage) -> None:
    apply(stage.lab, hours(stage, -HOUR, HOUR))
    wait_for(lambda: stage.state("office") == "active", "a start in the midst of its hours")
    wait_for(lambda: stage.status()["office"]["reason"] == "warm", "what keeps it up")
    stays_up(stage, "office", 2.0)
    (entry,) = stage.entries(MESSAGE_ID=WARM, PROJCTL_PROJECT="office")
    assert (entry["_SYSTEMD_UNIT"], entry["PROJCTL_REASON"]) == ("projctl-agent.service", "window")
    # Other hours take effect without a restart; when they are over, the idle time begins.
    apply(stage.lab, hours(stage, -HOUR, None))
    wait_for(lambda: state(stage, "projctl-office.cool.target") == "active", "the end of its hours")
    stage.wait_until_asleep("office")
    wait_for(lambda: stage.stops("office") == {"idle": 1}, "its idle stop")
    assert state(stage, "projctl-office.warm.target") == "inactive"


def test_hours_begin_without_the_agent_too(stage: Stage) -> None:
    apply(stage.lab, hours(stage, HOUR, 2 * HOUR))
    stage.wait_until_asleep("office")
    stage.systemctl("stop", "projctl-agent.service")
    assert stage.state("office") == "inactive"
    apply(stage.lab, hours(stage, None, HOUR))
    wait_for(lambda: stage.state("office") == "active", "the beginning of its hours")
    stage.systemctl("start", "projctl-agent.service")
    wait_for(lambda: stage.status()["office"]["reason"] == "warm", "what keeps it up")
    stays_up(stage, "office", 1.5)


def test_every_instance_has_the_hours(stage: Stage) -> None:
    names = ("office@0", "office@1")
    apply(stage.lab, hours(stage, -HOUR, HOUR, instances=2))
    for name in names:
        wait_for(lambda name=name: stage.state(name) == "active", f"{name} started")
        wait_for(lambda name=name: stage.status()[name]["reason"] == "warm", "what keeps it up")
    for name in names:
        stays_up(stage, name, 1.5)
    apply(stage.lab, hours(stage, -HOUR, None, instances=2))
    for name in names:
        stage.wait_until_asleep(name)
        wait_for(lambda name=name: stage.stops(name) == {"idle": 1}, "its idle stop")


def test_what_is_down_is_not_warm(stage: Stage) -> None:
    apply(stage.lab, hours(stage, -HOUR, HOUR) | {"always": server(listen=5002, warm="always")})
    wait_for(lambda: stage.state("office") == "active", "it up")
    projctl(stage.lab, "down", "office", "always")
    assert "office is down" in apply(
        stage.lab, hours(stage, -HOUR, 2 * HOUR) | {"always": server(listen=5002, warm="always")}
    )
    units = stage.systemctl("list-units", "--plain", "--no-legend", "projctl-office*", "projctl-always*")
    assert units == ""
    projctl(stage.lab, "up", "office", "always")
    wait_for(lambda: stage.state("office") == stage.state("always") == "active", "both up again")


def test_a_server_that_is_always_warm(stage: Stage) -> None:
    wanted = {"stays": server(listen=5003, idle="1s", warm="always")}
    assert "starts, and stays up" in apply(stage.lab, wanted)
    wait_for(lambda: stage.state("stays") == "active", "a start without a connection")
    stays_up(stage, "stays", 2.0)
    assert stage.get(5003, "/crash") == ""
    wait_for(lambda: stage.stops("stays") == {"crash": 1} and stage.state("stays") == "active", "it up again")
    assert projctl(stage.lab, "apply", "--no-preflight").stdout == "nothing to change\n"
    projctl(stage.lab, "stop", "stays")
    assert "starts, and stays up" in projctl(stage.lab, "apply", "--no-preflight").stdout
    wait_for(lambda: stage.state("stays") == "active", "it up after an apply")
    links = stage.units / "projctl.target.wants"
    assert stage.lab.file(links / "projctl-stays.service").is_symlink()
    apply(stage.lab, {"stays": server(listen=5003, idle="1s")})
    assert not stage.lab.file(links / "projctl-stays.service").is_symlink()
    stage.wait_until_asleep("stays")


def test_a_server_that_starts_at_boot(stage: Stage) -> None:
    wanted = {
        "early": server(listen=5004, idle="1s", warm="boot"),
        "other": server(listen=5005),
        "pool": server(listen=5006, idle={"freeze": "0.5s", "stop": "never"}, warm="boot"),
    }
    apply(stage.lab, wanted)
    assert projects(stage.lab)["early"]["state"] == "asleep"
    # What a boot does: it starts the target with all that it wants.
    stage.systemctl("stop", "projctl.target")
    stage.systemctl("start", "projctl.target")
    wait_for(lambda: stage.state("early") == "active", "its start")
    stage.wait_until_asleep("early")
    wait_for(lambda: stage.stops("early") == {"idle": 1}, "its idle stop")
    assert projects(stage.lab)["other"]["state"] == "asleep"
    # One that freezes is a warm pool: up before anybody came, at no cost, and there at the first connection.
    wait_for(lambda: stage.status()["pool"]["state"] == "frozen", "it frozen")
    pid, used = stage.show("projctl-pool.service", "MainPID", "CPUUsageNSec")
    time.sleep(0.3)
    assert stage.show("projctl-pool.service", "MainPID", "CPUUsageNSec") == [pid, used]
    assert stage.get(5006)
    wait_for(lambda: stage.entries(PROJCTL_EVENT="thawed", PROJCTL_PROJECT="pool"), "it told")
    assert stage.show("projctl-pool.service", "MainPID") == [pid]
    assert stage.starts("pool") == 1
