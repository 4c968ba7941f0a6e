"""The agent on a real systemd, with real servers and real connections."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest
from agent_stage import (
    ROOT,
    SERVER,
    Stage,
    install_agent,
    install_user_agent,
    kill_agent,
    wait_for,
)

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE_STOP = "d649923182a64247b971172f532f4fa7"
NO_COUNTERS = "4c17779e887147b59460df30aa683277"
AGENT = "projctl-agent.service"
LOST = "projctl-agent: lost the connection to the bus, trying again"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def test_an_idle_project_is_stopped_and_comes_back(stage: Stage) -> None:
    stage.project("web", "5001", MinUptimeSec="0", IdleStopSec="3")
    first = stage.get(5001)
    invocation = stage.invocation("web")
    shown = stage.status()["web"]
    assert (shown["state"], shown["starts"], shown["reason"]) == ("running", 1, None)
    wait_for(lambda: stage.status()["web"]["would_stop_at"], "the time of the stop")
    assert stage.metrics()["projctl_running", ("project", "web")] == 1
    assert stage.metrics()["projctl_memory_bytes", ("project", "web")] > 1_000_000
    stage.wait_until_asleep("web")
    (entry,) = stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="web")
    assert entry["_SYSTEMD_UNIT"] == AGENT
    assert entry["PROJCTL_INVOCATION_ID"] == invocation
    assert entry["PROJCTL_UNIT"] == "projctl-web.service"
    assert (entry["PROJCTL_EVENT"], entry["PROJCTL_REASON"]) == ("idle-stop", "idle")
    assert float(entry["PROJCTL_UPTIME_SECONDS"]) >= float(entry["PROJCTL_IDLE_SECONDS"]) >= 3.0
    assert float(entry["PROJCTL_CPU_SECONDS"]) > 0
    wait_for(lambda: stage.stops("web") == {"idle": 1}, "the stop counted")
    shown = stage.status()["web"]
    assert (shown["state"], shown["idle_seconds"], shown["reason"]) == ("asleep", None, "idle")
    assert stage.systemctl("show", "-P", "Result", "projctl-web.service") == "success"
    assert stage.get(5001) != first
    assert stage.starts("web") == 2
    explained = stage.lab.run(["journalctl", "-x", f"MESSAGE_ID={IDLE_STOP}"]).stdout
    assert "Project web is idle and is being stopped" in explained


def test_a_slow_download_is_use(stage: Stage) -> None:
    stage.project("slow", "5002")
    body = stage.get(5002, "/slow?seconds=4")
    assert body.endswith(f"pid {stage.systemctl('show', '-P', 'MainPID', 'projctl-slow.service')}\n")
    stage.wait_until_asleep("slow")


def test_a_quiet_connection_that_is_held_is_use(stage: Stage) -> None:
    stage.project("held", "5003")
    with stage.lab.connect(5003) as connection:
        connection.sendall(b"GET /socket HTTP/1.0\r\n\r\n")
        assert connection.recv(4096)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert stage.state("held") == "active"
            time.sleep(0.3)
        assert stage.status()["held"]["activity"] == "connections"
    stage.wait_until_asleep("held")
    assert stage.stops("held") == {"idle": 1}


def test_background_work_is_use(stage: Stage) -> None:
    stage.project("busy", "5004")
    stage.get(5004, "/burn?seconds=4")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert stage.state("busy") == "active"
        time.sleep(0.3)
    stage.wait_until_asleep("busy")


def test_minimum_uptime(stage: Stage) -> None:
    stage.project("young", "5005", IdleStopSec="0.5", MinUptimeSec="4")
    stage.get(5005)
    wait_for(lambda: stage.status()["young"]["reason"] == "min_uptime", "the minimum uptime to hold it")
    stage.wait_until_asleep("young")
    (entry,) = stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="young")
    assert float(entry["PROJCTL_UPTIME_SECONDS"]) >= 4.0


def test_never_and_a_drop_in_that_changes_it(stage: Stage) -> None:
    stage.project("never", "5006", IdleStopSec="infinity")
    stage.get(5006)
    time.sleep(3)
    assert stage.state("never") == "active"
    assert stage.status()["never"]["would_stop_at"] is None
    stage.write("projctl-never.service.d/idle.conf", "[X-Projctl]\nIdleStopSec=1\n")
    stage.systemctl("daemon-reload")
    stage.wait_until_asleep("never")


def test_every_end_has_its_reason(stage: Stage) -> None:
    stage.project("ends", "5007", service="RuntimeMaxSec=2", IdleStopSec="infinity")
    stage.project("stuck", "5008", service="ExecStart=\nExecStart=/bin/sleep 100\nTimeoutStartSec=1")
    stage.get(5007)
    stage.wait_until_asleep("ends")
    assert stage.state("ends") == "failed"
    wait_for(lambda: stage.status()["ends"]["state"] == "asleep", "asleep after its maximum runtime")
    assert stage.get(5007, "/crash") == ""
    stage.wait_until_asleep("ends")
    stage.get(5007)
    stage.systemctl("stop", "projctl-ends.service")
    stage.systemctl("start", "projctl-stuck.service", check=False)
    expected = {"max_runtime": 1, "crash": 1, "manual": 1}
    wait_for(lambda: stage.stops("ends") == expected, "three ends, three reasons")
    wait_for(lambda: stage.stops("stuck") == {"start_timeout": 1}, "a start that timed out")
    assert stage.starts("ends") == 3
    assert stage.metrics()["projctl_start_duration_seconds_count", ("project", "ends")] == 3


def test_a_proxy_is_stopped_and_its_backend_is_counted(stage: Stage) -> None:
    stage.project(
        "front", "5009", role="proxy", Backend="projctl-front.backend.service",
        service="Type=exec\nExecStart=\nExecStart=/lib/systemd/systemd-socket-proxyd 127.0.0.1:30009",
    )  # fmt: skip
    stage.write(
        "projctl-front.service.d/bind.conf",
        "[Unit]\nBindsTo=projctl-front.backend.service\nAfter=projctl-front.backend.service\n",
    )
    stage.write(
        "projctl-front.backend.service",
        "[Unit]\nStopWhenUnneeded=yes\n[Service]\nType=notify\nSuccessExitStatus=143\n"
        f"ExecStart=/usr/bin/systemd-socket-activate -l 127.0.0.1:30009 {SERVER}\n"
        "Type=exec\n[X-Projctl]\nProject=front\nRole=backend\n",
    )
    stage.systemctl("daemon-reload")
    wait_for(lambda: stage.get(5009), "an answer through the proxy")
    backend = stage.systemctl("show", "-P", "InvocationID", "projctl-front.backend.service")
    stage.wait_until_asleep("front")
    stage.wait_until_asleep("front.backend")
    entries = stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="front")
    assert [entry["PROJCTL_INVOCATION_ID"] for entry in entries][-1] == backend
    wait_for(lambda: stage.stops("front").get("idle") == len(entries), "the stop counted once")
    assert stage.starts("front") == sum(stage.stops("front").values())


def test_without_counters_connections_and_cpu_tell_and_it_is_said_once(stage: Stage) -> None:
    stage.project("unix", "/run/projctl-unix.sock")
    fetch = ["curl", "-s", "--unix-socket", "/run/projctl-unix.sock", "http://localhost/"]
    for _ in range(2):
        stage.lab.run(fetch)
        stage.wait_until_asleep("unix")
        kill_agent(stage)
    assert len(stage.entries(MESSAGE_ID=NO_COUNTERS, PROJCTL_PROJECT="unix")) == 1
    assert stage.stops("unix") == {"idle": 2}


def test_totals_survive_restart_crash_and_a_lost_checkpoint(stage: Stage) -> None:
    stage.project("kept", "5010", IdleStopSec="infinity")
    stage.get(5010)
    wait_for(lambda: stage.starts("kept") == 1, "the start counted")
    before = stage.totals("kept")
    pid = stage.get(5010)
    stage.systemctl("restart", AGENT)
    assert stage.totals("kept") == before
    kill_agent(stage)
    assert stage.totals("kept") == before
    for content in ("{damaged", None):
        stage.systemctl("stop", AGENT)
        checkpoint = stage.lab.file("/var/lib/projctl-agent/checkpoint.json")
        assert checkpoint.exists()
        checkpoint.write_text(content) if content else checkpoint.unlink()
        stage.systemctl("start", AGENT)
        assert stage.totals("kept") == before
    assert stage.get(5010) == pid
    stage.systemctl("stop", AGENT)
    stage.systemctl("stop", "projctl-kept.service")
    stage.get(5010)
    stage.systemctl("start", AGENT)
    assert stage.starts("kept") == 2
    assert stage.stops("kept") == {"manual": 1}


def test_the_journal_cannot_be_forged(stage: Stage) -> None:
    forged = (
        "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf\nMESSAGE=Started\nUNIT=projctl-fake.service\n"
        "INVOCATION_ID=0123456789abcdef0123456789abcdef\nPRIORITY=6\n"
    )
    ours = f"MESSAGE_ID={IDLE_STOP}\nMESSAGE=x\nPROJCTL_UNIT=projctl-fake.service\nPROJCTL_INVOCATION_ID=00\n"
    for text in (forged, ours):
        stage.lab.run(["logger", "--journald"], input=text, user="nobody")
        stage.lab.run(["logger", "--journald"], input=text)
    wait_for(
        lambda: len(stage.entries(UNIT="projctl-fake.service")) == 2, "the forged entries in the journal"
    )
    assert stage.totals("fake") == {}
    assert "fake" not in stage.status()


@pytest.mark.parametrize(
    ("verb", "unit", "allowed"),
    [
        ("stop", "projctl-rights.service", True),
        ("reset-failed", "projctl-rights.service", True),
        ("start", "projctl-rights.service", False),
        ("restart", "projctl-rights.service", False),
        ("freeze", "projctl-rights.service", False),
        ("stop", "projctl-rights.socket", False),
        ("stop", "foreign.service", False),
        ("stop", "projctl-rights@0.service", True),
        ("stop", AGENT, False),
        ("stop", "projctl-agent@0.service", False),
        ("stop", "projctl-agent-pause@rights.service", True),
        ("start", "projctl-agent-pause@rights.service", False),
        ("stop", "projctl-agent-pause@0.service", False),
        ("stop", "dbus.service", False),
    ],
)
def test_what_the_agent_may_do(stage: Stage, verb: str, unit: str, allowed: bool) -> None:
    stage.project("rights", "5011", IdleStopSec="infinity")
    for template in ("projctl-rights@0.service", "projctl-agent@0.service"):
        stage.write(template, "[Service]\nExecStart=/bin/sleep 1000\n")
    stage.write("foreign.service", "[Service]\nExecStart=/bin/sleep 1000\n")
    stage.systemctl("start", "foreign.service")
    stage.get(5011)
    done = stage.lab.run(["systemctl", "--no-ask-password", verb, unit], check=False, user="projctl-agent")
    assert (done.returncode == 0) == allowed, done.stderr
    assert stage.systemctl("is-active", "foreign.service") == "active"


def test_a_restarted_bus_is_found_again(stage: Stage) -> None:
    stage.project("bus", "5012", IdleStopSec="3")
    stage.get(5012)
    stage.systemctl("restart", "dbus.service")
    stage.wait_until_asleep("bus")
    assert stage.systemctl("show", "-P", "NRestarts", AGENT)
    assert stage.get(5012)
    stage.wait_until_asleep("bus")


def test_it_ends_while_there_is_no_bus(stage: Stage) -> None:
    """As at a shutdown, where both are stopped at once."""
    lost = len(stage.entries(MESSAGE=LOST))
    stage.systemctl("stop", "dbus.socket", "dbus.service")
    wait_for(lambda: len(stage.entries(MESSAGE=LOST)) > lost, "the lost connection in the journal")
    stage.systemctl("stop", AGENT)
    assert stage.systemctl("show", "-P", "Result", AGENT) == "success"
    stage.systemctl("start", "dbus.socket")
    stage.systemctl("start", AGENT, check=False)  # systemd may not be back on its bus: it tries once more
    wait_for(lambda: stage.systemctl("is-active", AGENT, check=False) == "active", "the agent back")


def test_the_units_are_sound_and_sandboxed(stage: Stage) -> None:
    for unit in (AGENT, "projctl-agent.socket", "projctl-agent-metrics.socket"):
        done = stage.lab.run(
            ["systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}"], check=False
        )
        assert (done.stderr, done.returncode) == ("", 0)
    stage.lab.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", f"/etc/systemd/system/{AGENT}"]
    )


#: Writes an access log of one line, and stays until journald has seen whose it is.
ACCESS = "ExecStartPost=/bin/sh -c 'echo GET 200 0.5; sleep 1'"


def test_a_users_own_agent() -> None:
    with Lab.boot() as lab:
        stage = install_user_agent(lab, "bob")
        log = r"GET (?P<status>\d+) (?P<seconds>[\d.]+)"
        stage.project("mine", "5001", service=ACCESS, AccessLog=log)
        assert stage.get(5001)
        stage.wait_until_asleep("mine")
        stage.get(5001, "/hold?seconds=3")
        stage.wait_until_asleep("mine")
        wait_for(lambda: stage.stops("mine") == {"idle": 2}, "two idle stops counted")
        requests = ("projctl_requests_total", ("code", "200"), ("project", "mine"))
        wait_for(lambda: stage.metrics().get(requests) == 2, "two lines of its access log")
        assert stage.metrics()["projctl_first_response_seconds_count", ("project", "mine")] == 2
        before = stage.totals("mine")
        stage.systemctl("kill", "-s", "KILL", AGENT)
        wait_for(lambda: stage.systemctl("show", "-P", "NRestarts", AGENT) == "1", "a new agent")
        assert stage.totals("mine") == before
        assert len(stage.entries(MESSAGE_ID=NO_COUNTERS)) == 1
        for name in ("pair@0", "pair@1"):
            stage.project(name, "5002", socket="ReusePort=yes")
        with stage.lab.connect(5002) as connection:
            connection.sendall(b"GET /socket HTTP/1.0\r\n\r\n")
            assert connection.recv(4096)
            # Whose connection it is cannot be told there, so that it keeps both.
            stage.systemctl("start", "projctl-pair@0.service", "projctl-pair@1.service")
            time.sleep(4)
            assert [stage.state(name) for name in ("pair@0", "pair@1")] == ["active", "active"]
        for name in ("pair@0", "pair@1"):
            stage.wait_until_asleep(name)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--version"], 0, "projctl-agent 0.1.0\n"),
        (["--help"], 0, "usage: projctl-agent [-h] [--user] [--version]"),
        (["--nonsense"], 2, "unrecognized arguments: --nonsense"),
        (["--user"], 1, "projctl-agent: cannot connect to the session bus: XDG_RUNTIME_DIR is not set"),
    ],
)
def test_the_command_line(stage: Stage, words: list[str], status: int, said: str) -> None:
    done = stage.lab.run(
        [sys.executable, "-m", "projctl_agent", *words],
        env={"PYTHONPATH": str(ROOT / "agent"), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
