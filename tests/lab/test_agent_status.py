"""What the agent says of projects, and that neither probes nor its own restarts change when they stop."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, projctl, server, write

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = "projctl-agent.service"
IDLE_STOP = "d649923182a64247b971172f532f4fa7"
#: A server that has just started may still be busy with that.
NO_USE = {"start", "cpu"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def test_a_readiness_probe_is_no_use(stage: Stage) -> None:
    """It passes through the only socket of the project; the idle time counts from the start all the same."""
    apply(stage.lab, {"probed": server(listen=5001, health="/", idle="4s")})
    stage.systemctl("start", "projctl-probed.service")
    entered = stage.show("projctl-probed.service", "ActiveEnterTimestampMonotonic")[0] / 1e6
    assert stage.show("projctl-probed.socket", "IPIngressBytes")[0] > 0
    wait_for(lambda: stage.status()["probed"]["would_stop_at"], "the time of the stop")
    offset = time.time() - time.monotonic()
    planned = []
    while (shown := stage.status()["probed"])["state"] == "running":
        if shown["would_stop_at"]:
            assert shown["activity"] in NO_USE
            planned.append(shown["would_stop_at"] - offset - entered)
    assert 3.9 < min(planned) <= max(planned) < 7
    (entry,) = stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="probed")
    assert entry["PROJCTL_ACTIVITY"] in NO_USE


def test_a_running_project_needs_no_reason(stage: Stage) -> None:
    apply(stage.lab, {"hello": server(listen=5002, idle="2s")})
    for _ in range(2):
        stage.get(5002)
        assert stage.status()["hello"]["reason"] is None
        assert projctl(stage.lab, "status", "hello").stdout.startswith("hello: running\n")
        stage.wait_until_asleep("hello")
        wait_for(lambda: stage.status()["hello"]["reason"] == "idle", "the reason of the stop")
    assert projctl(stage.lab, "status", "hello").stdout.startswith("hello: asleep (idle)\n")


def reason(stage: Stage, name: str, pattern: str) -> None:
    """Wait until a project that failed says why."""

    def tells() -> bool:
        shown = stage.status()[name]
        return shown["state"] == "failed" and bool(re.fullmatch(pattern, shown["reason"] or ""))

    wait_for(tells, f"{pattern} as the reason, not {stage.status()[name]}")


def test_a_server_in_back_off_says_why_how_often_and_when(stage: Stage) -> None:
    command = 'ExecStart=\nExecStart=/bin/sh -c "exit 3"\nType=exec\nRestart=on-failure\n'
    stage.project("often", "5003", service=f"{command}RestartSec=1s")
    stage.systemctl("start", "--no-block", "projctl-often.service")
    reason(stage, "often", r"crash: exit status 3, next start in [01] s")
    reason(stage, "often", r"crash: exit status 3, [2-9] times, next start in [01] s")
    stage.systemctl("stop", "projctl-often.service")
    wait_for(lambda: stage.status()["often"]["state"] == "asleep", "no further start")


def test_a_server_that_failed_for_good_says_why(stage: Stage) -> None:
    program = "Type=exec\nExecStart=\nExecStart={}"
    stage.project("gone", "5004", service=program.format("/nonexistent"))
    stage.project("killed", "5005", service=program.format("/bin/sh -c 'kill -SEGV $$$$'"))
    for name in ("gone", "killed"):
        stage.systemctl("start", f"projctl-{name}.service", check=False)
    reason(stage, "gone", r"crash: cannot run its program \(exit status 203\)")
    reason(stage, "killed", r"crash: killed by SIGSEGV(, core dumped)?")


def test_a_server_that_takes_no_connection_closes_its_socket_and_says_so(stage: Stage) -> None:
    stage.project("shy", "5009", service="Type=exec\nExecStart=\nExecStart=/bin/true")
    stage.lab.connect(5009).close()
    reason(
        stage,
        "shy",
        r"socket: the server was started too often without taking a connection, (\d+ times, )?opens again in \d+ s",
    )
    stage.systemctl("reset-failed", "projctl-shy.socket")


def test_a_server_that_is_not_ready_says_what_the_probe_found(stage: Stage) -> None:
    projects = {
        "deaf": server(listen=5006, health=["/bin/false"], start_timeout="2s"),
        "mute": server(run="sleep 1000", server="proxy", listen=5007, start_timeout="2s"),
    }
    write(stage.lab, projects)
    projctl(stage.lab, "apply", "--no-preflight")
    for name in projects:
        stage.systemctl("start", "--no-block", f"projctl-{name}.service")
    # The probe and systemd give up at the same moment.
    late = "(health|start_timeout): not ready within 2 s:"
    reason(stage, "deaf", rf"{late} /bin/false ends with status 1.*")
    reason(stage, "mute", rf"{late} nothing answers on 127.0.0.1:\d+: Connection refused.*")


#: Answers with what would clear the terminal of whoever asks for its status.
RUDE = r"""
import socket
listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.0 \x1b[2Jfine\r\n\r\n")
    client.close()
"""


def test_what_a_server_says_cannot_drive_a_terminal(stage: Stage) -> None:
    rude = server(run=[sys.executable, "-c", RUDE], listen=5012, health="/", start_timeout="2s")
    write(stage.lab, {"rude": rude | {"server": "native"}})
    projctl(stage.lab, "apply", "--no-preflight")
    stage.systemctl("start", "--no-block", "projctl-rude.service")
    reason(stage, "rude", ".* answers \x1b\\[2Jfine.*")
    said = projctl(stage.lab, "status", "rude").stdout
    assert "\\x1b[2Jfine" in said and "\x1b" not in said


def restart(stage: Stage, meanwhile: bool = False) -> None:
    stage.systemctl("stop", AGENT)
    if meanwhile:
        stage.get(5008)
    stage.systemctl("start", AGENT)
    wait_for(lambda: stage.status()["again"]["would_stop_at"], "the time of the stop")


def test_a_restart_of_the_agent_does_not_postpone_a_stop(stage: Stage) -> None:
    stage.project("again", "5008", IdleStopSec="20")
    stage.get(5008)
    wait_for(lambda: (stage.status()["again"]["idle_seconds"] or 0) > 4, "some idle time")
    before = stage.status()["again"]["would_stop_at"]
    for _ in range(2):
        restart(stage)
        assert stage.status()["again"]["would_stop_at"] == pytest.approx(before, abs=1)
    restart(stage, meanwhile=True)
    shown = stage.status()["again"]
    assert shown["would_stop_at"] > before + 3
    assert shown["activity"] == "bytes"


def test_health(stage: Stage) -> None:
    found = stage.ask({"get": "health"})["health"]
    assert (found["bus"], found["journal"], found["helper"]) == (True, True, True)
    assert found["agent_version"] == "0.1.0"
    assert found["uptime_seconds"] > 0 and found["loop_lag_seconds"] >= 0
    stage.systemctl("stop", "projctl-agent-helper.socket")
    assert stage.ask({"get": "health"})["health"]["helper"] is False
    stage.systemctl("start", "projctl-agent-helper.socket")
