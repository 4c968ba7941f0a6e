"""Why runs end: orders of all kinds, probes and crashes, told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, projctl, server
from test_agent_events import events
from test_agent_oom import KILL

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

TOLD = {"apply", "override", "down", "up"}
#: systemd began to stop a unit.
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
ORDER = "b3123d8caca15454c53c0abc7e83fb33"
JOURNALD = "systemd-journald.service"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def ends_as(stage: Stage, name: str, expected: dict[str, int]) -> None:
    wait_for(lambda: stage.stops(name) == expected, f"{expected}, not {stage.stops(name)}")


def _is_up(stage: Stage, unit: str) -> bool:
    return stage.systemctl("show", "-P", "ActiveState", unit) == "active"


def test_every_order_is_a_reason_of_its_own(stage: Stage) -> None:
    wanted = {
        "shop": server(listen=5001, idle="never"),
        "web": server(run="sleep 1000", server="native", listen=5002),
    }
    apply(stage.lab, wanted)
    for verb in ("stop", "restart", "down"):
        stage.systemctl("start", "projctl-shop.service")
        projctl(stage.lab, verb, "shop")
    projctl(stage.lab, "up", "shop")
    ends_as(stage, "shop", {"manual": 3})
    stage.get(5001)
    stage.systemctl("start", "projctl-web.service")
    wanted |= {"shop": server(listen=5001, idle="never", env={"A": "b"})}
    apply(stage.lab, wanted)
    ends_as(stage, "shop", {"manual": 3, "apply": 1})
    projctl(stage.lab, "restart", "shop", "--port", "5011")
    projctl(stage.lab, "restart", "shop", "--no-override")
    ends_as(stage, "shop", {"manual": 3, "apply": 1, "override": 2})
    stage.systemctl("stop", "projctl-shop.service")
    ends_as(stage, "shop", {"manual": 4, "apply": 1, "override": 2})
    assert stage.stops("web") == {}
    orders = [event["event"] for event in events(stage, "--project", "shop") if event["event"] in TOLD]
    assert orders == ["apply", "down", "up", "apply", "override", "override"]


def test_settings_that_stop_nothing_are_no_reason_of_a_stop(stage: Stage) -> None:
    warm = {"from": "Mon 08:00", "until": "Mon 18:00"}
    apply(stage.lab, {"mild": server(listen=5006, idle="never", warm=warm)})
    stage.get(5006)
    apply(stage.lab, {"mild": server(listen=5006, idle="1h", warm=warm | {"until": "Mon 19:00"})})
    stage.systemctl("stop", "projctl-mild.service")
    ends_as(stage, "mild", {"manual": 1})
    assert [event["event"] for event in events(stage, "--project", "mild")].count("apply") == 1


def test_a_proxied_server_ends_for_what_was_ordered(stage: Stage) -> None:
    run = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "5030"]
    project = server(run=run, server="proxy", listen=5003, backend_ports="5030-5030", idle="never")
    apply(stage.lab, {"front": project})
    stage.get(5003)
    apply(stage.lab, {"front": {**project, "env": {"A": "b"}}})
    ends_as(stage, "front", {"apply": 1})
    assert stage.get(5003)
    projctl(stage.lab, "stop", "front")
    ends_as(stage, "front", {"apply": 1, "manual": 1})


def test_a_proxied_server_that_comes_back_to_nobody_was_not_stopped_by_hand(stage: Stage) -> None:
    run = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "5031"]
    project = server(run=run, server="proxy", listen=5007, backend_ports="5031-5031", idle="never")
    apply(stage.lab, {"lonely": project})
    assert stage.get(5007)
    stage.systemctl("kill", "-s", "KILL", "projctl-lonely.backend.service")
    ends_as(stage, "lonely", {"crash": 1, "idle": 1})
    assert stage.starts("lonely") == 2
    assert stage.state("lonely") == "inactive"
    assert "nobody used it" in projctl(stage.lab, "why", "lonely").stdout
    # Needed again, it is stopped for what stops it.
    assert stage.get(5007)
    stage.systemctl("kill", "-s", "KILL", "projctl-lonely.backend.service")
    wait_for(lambda: stage.state("lonely") == "inactive", "its proxy gone")
    assert stage.get(5007)
    stage.systemctl("stop", "projctl-lonely.service")
    wait_for(lambda: stage.stops("lonely").get("manual") == 1, "an end by hand")
    assert stage.stops("lonely")["crash"] == 2


def test_faults_of_a_proxied_server_are_its_own(stage: Stage) -> None:
    def proxied(port: int, **more: object) -> dict[str, object]:
        run = ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(port + 30)]
        return server(
            **{"run": run} | more, server="proxy", listen=port, backend_ports=f"{port + 30}-{port + 30}"
        )

    apply(stage.lab, {
        "mute": proxied(5008, run="sleep 1000", start_timeout="1s"),
        "capped": proxied(5009, max_runtime="1s"),
        "hungry": proxied(5010, idle="never"),
    })  # fmt: skip
    for port in (5009, 5010):
        assert stage.get(port)
    group = stage.systemctl("show", "-P", "ControlGroup", "projctl-hungry.backend.service")
    stage.lab.run(["/usr/bin/python3", "-c", KILL, group])
    stage.systemctl("start", "--no-block", "projctl-mute.service")
    ends_as(stage, "capped", {"max_runtime": 1})
    ends_as(stage, "hungry", {"oom": 1, "idle": 1})  # and came back to nobody
    # Its port is what tells that it is ready, within the time for its start.
    wait_for(lambda: stage.stops("mute").get("health"), "the start that took too long")
    projctl(stage.lab, "stop", "mute")


def test_a_failed_probe_is_no_crash(stage: Stage) -> None:
    apply(stage.lab, {"deaf": server(listen=5004, health=["/bin/false"], start_timeout="1s")})
    stage.systemctl("start", "--no-block", "projctl-deaf.service")
    wait_for(lambda: stage.stops("deaf").get("health"), "the failed probe counted")
    projctl(stage.lab, "stop", "deaf")
    assert set(stage.stops("deaf")) <= {"health", "manual"}


@pytest.mark.parametrize(
    ("writer", "gone"),
    [
        (["--uid=nobody"], False),
        (["--unit=projctl-evil.service"], False),
        (["--unit=projctl-evil.service"], True),
    ],
)
def test_nobody_else_gives_orders(stage: Stage, writer: list[str], gone: bool) -> None:
    """Neither another user nor a project that runs as root can pass a crash off as the work of apply.

    Nor one that is `gone` before journald can see whose it was.
    """
    stage.project("prey", "5005", IdleStopSec="infinity")
    stage.get(5005)
    before = stage.stops("prey").get("manual", 0)
    about = "PROJCTL_UNIT=projctl-prey.service\\nPROJCTL_PROJECT=prey\\n"
    text = f"MESSAGE_ID={ORDER}\\nMESSAGE=x\\nPROJCTL_EVENT=apply\\n{about}"
    forge = [
        "systemd-run",
        "--wait",
        "--collect",
        *writer,
        "sh",
        "-c",
        f"printf '{text}' | logger --journald",
    ]
    known = len(stage.entries(MESSAGE_ID=ORDER, PROJCTL_PROJECT="prey"))
    stage.systemctl("kill", f"--signal={'STOP' if gone else 'CONT'}", JOURNALD)
    stage.lab.run(forge)
    stage.systemctl("kill", "--signal=CONT", JOURNALD)
    wait_for(lambda: len(stage.entries(MESSAGE_ID=ORDER, PROJCTL_PROJECT="prey")) > known, "the forged order")
    stage.systemctl("stop", "projctl-prey.service")
    wait_for(lambda: stage.stops("prey") == {"manual": before + 1}, "an end by hand")


def test_an_idle_stop_while_journald_restarts_is_counted(stage: Stage) -> None:
    stage.project("quiet", "5040", IdleStopSec="2")
    wait = "ExecStartPre=/bin/sh -c 'until test -e /run/journald-may-start; do sleep 0.1; done'"
    stage.write("systemd-journald.service.d/wait.conf", f"[Service]\n{wait}\n")
    stage.systemctl("daemon-reload")
    stage.get(5040)
    stage.systemctl("restart", "--no-block", "systemd-journald.service")
    stage.wait_until_asleep("quiet")
    stage.lab.run(["touch", "/run/journald-may-start"])
    wait_for(lambda: _is_up(stage, "systemd-journald.service"), "journald")
    # systemd itself has told nothing of the stop, neither that it began nor that it ended.
    assert not stage.entries(MESSAGE_ID=STOPPING, UNIT="projctl-quiet.service")
    stage.get(5040)
    ends_as(stage, "quiet", {"idle": 2})
    assert stage.starts("quiet") == 2
