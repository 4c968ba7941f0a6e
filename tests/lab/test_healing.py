"""Servers that fail again and again: growing pauses, sockets that open again, and nobody else who notices."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from itertools import pairwise
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, install_agent, install_user_agent, wait_for
from steps import SERVER, apply, projctl, projects, server
from test_agent_events import events

from projctl import systemctl
from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAK = "f8bc3d4a200d8f0bf2ce77aee6878482"
REARMED = "81f851c180ad1c9ddebebca04fb7db6b"
HELD_UP = "9babf84b0b7f45599fcd13cb76d8e755"
STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
BROKEN = server(run=["/bin/sh", "-c", "exit 3"], listen=5001, idle="never")
#: Crashes at its first start only.
SCRIPT = f"test -e /run/once && exec {sys.executable} {SERVER}; touch /run/once; exit 3"
ONCE = server(run=["/bin/sh", "-c", SCRIPT], listen=5006, idle="never")
#: Ends without an error and without taking its connection.
SHY = server(run="/bin/true", listen=5003, idle="never")
#: The same until it is mended.
MENDED = f"test -e /run/mended && exec {sys.executable} {SERVER}; exit 0"


#: Not so fast that systemd before 255 gives its socket up.
LAZY = server(run=["/bin/sh", "-c", "sleep 0.2"], listen=5009, idle="never")
#: Serves one connection in each run.
SERVE_ONE = """
import socket, time
connection, _ = socket.socket(fileno=3).accept()
time.sleep(0.1)
connection.recv(65536)
connection.sendall(b"one")
"""
#: From 255 on sockets pause instead of being given up, unless an administrator wants it otherwise: as for these, and
#: sooner than a busy machine starts them so often that the agent holds them up.
GIVE_UP = "[Socket]\nTriggerLimitIntervalSec=1s\nTriggerLimitBurst=3\n"
NO_PAUSE = "PollLimitIntervalSec=0\n"
GIVEN_UP = "shy", "soon", "late"
UNTAKEN = "exit: ended without taking its connection"

CAPABLE = "[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        for name in GIVEN_UP:
            lab.write(f"/etc/systemd/system/projctl-{name}.socket.d/give-up.conf", limits())
        yield install_agent(lab)


@pytest.fixture(scope="module")
def wanted(stage: Stage) -> Iterator[dict[str, Any]]:
    """The manifest's projects, of which one must serve all the while as if nothing was, and one has crashed once."""
    found = {"calm": server(listen=5002, idle="never"), "once": ONCE}
    apply(stage.lab, found)
    before = stage.get(5002)
    stage.systemctl("start", "projctl-once.service", check=False)
    wait_for(lambda: restarts(stage, "once") == 1, "its second start")
    yield found
    assert stage.get(5002) == before
    assert restarts(stage, "calm") == 0


def limits() -> str:
    return GIVE_UP + (NO_PAUSE if systemctl.supported_version() >= 255 else "")


def change(stage: Stage, wanted: dict[str, Any], **projects: Any) -> None:
    """Apply the manifest with these projects new or changed."""
    wanted.update(projects)
    apply(stage.lab, wanted)


def restarts(stage: Stage, name: str) -> int:
    return stage.show(f"projctl-{name}.service", "NRestarts")[0]


def starts(stage: Stage, unit: str) -> list[float]:
    """When it was started, in monotonic seconds."""
    entries = stage.entries(MESSAGE_ID=STARTING, UNIT=unit)
    return [int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6 for entry in entries]


def longest_gaps(stage: Stage, unit: str) -> list[float]:
    """The two longest times from one of its starts to the next."""
    return sorted(later - earlier for earlier, later in pairwise(starts(stage, unit)))[-2:]


def rearmed_sockets(stage: Stage, name: str) -> int:
    """What the metrics count of it."""
    return int(stage.metrics()["projctl_rearmed_sockets_total", ("project", name)])


def shown(stage: Stage, name: str, pattern: str) -> None:
    """Wait until the agent says that a project failed, why, and what comes next."""

    def tells() -> bool:
        found = stage.status()[name]
        return found["state"] == "failed" and bool(re.fullmatch(pattern, found["reason"] or ""))

    wait_for(tells, f"{pattern}, not {stage.status()[name]}")


def provoke(stage: Stage, name: str, port: int) -> None:
    """Connect, which makes systemd give the socket of a server up that does not care; it may be open again by now."""
    known = len(rearmed(stage, name))
    with contextlib.suppress(ConnectionResetError):  # systemd may close it before this side has seen it open
        stage.lab.connect(port).close()
    given_up = lambda: is_given_up(stage, name) or len(rearmed(stage, name)) > known  # noqa: E731
    wait_for(given_up, "systemd to give the socket up")


def rearmed(stage: Stage, name: str) -> list[dict[str, str]]:
    """What the agent wrote each time it opened a socket again."""
    return stage.entries(MESSAGE_ID=REARMED, PROJCTL_PROJECT=name)


def held_up(stage: Stage, name: str) -> list[dict[str, str]]:
    """What the agent wrote each time it let connections start a server again."""
    return stage.entries(MESSAGE_ID=HELD_UP, PROJCTL_PROJECT=name)


def is_given_up(stage: Stage, name: str) -> bool:
    return stage.systemctl("show", "-P", "SubState", f"projctl-{name}.socket") == "failed"


def test_the_pauses_of_a_crashing_server_grow_and_end_with_an_apply(
    stage: Stage, wanted: dict[str, Any]
) -> None:
    change(stage, wanted, broken=BROKEN)
    with stage.lab.connect(5001, timeout=30.0) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        shown(stage, "broken", r"crash: exit status 3, [34] times, next start in [34] s")
        gaps = longest_gaps(stage, "projctl-broken.service")
        assert gaps[0] >= 1
        assert gaps[1] >= 2  # systemd alone would have waited one second again
        wait_for(lambda: projects(stage.lab)["broken"]["state"] == "failed", "projctl to say that it failed")
        # What waits all the while is answered as soon as the server is mended.
        change(stage, wanted, broken=server(listen=5001, idle="never"))
        assert b"pid " in b"".join(iter(lambda: client.recv(65536), b""))
    wait_for(lambda: stage.status()["broken"]["state"] == "running", "it running")


def test_a_restart_by_hand_waits_for_no_pause(stage: Stage, wanted: dict[str, Any]) -> None:
    change(stage, wanted, stuck={**BROKEN, "listen": 5005})
    stage.systemctl("start", "--no-block", "projctl-stuck.service")
    shown(stage, "stuck", r"crash: exit status 3, 4 times, next start in [78] s")
    due = time.monotonic() + 6
    before = stage.starts("stuck")
    projctl(stage.lab, "restart", "stuck", check=False)
    wait_for(lambda: stage.starts("stuck") > before, "another start")
    started = (
        int(stage.systemctl("show", "-P", "ExecMainStartTimestampMonotonic", "projctl-stuck.service")) / 1e6
    )
    assert started < due, "it has waited for the pause"
    shown(stage, "stuck", r"crash: exit status 3, .*next start in [0-9]+ s")
    projctl(stage.lab, "stop", "stuck")
    wait_for(lambda: stage.status()["stuck"]["state"] == "asleep", "nothing to wait for")
    assert stage.systemctl("list-units", "--plain", "--no-legend", "projctl-agent-pause@*") == ""


def test_a_socket_that_systemd_gave_up_opens_again(stage: Stage, wanted: dict[str, Any]) -> None:
    change(stage, wanted, shy=SHY)
    provoke(stage, "shy", 5003)
    wait_for(lambda: rearmed(stage, "shy"), "the socket open again")
    (entry,) = rearmed(stage, "shy")
    assert (entry["PROJCTL_FAILURES"], entry["PROJCTL_SOCKET"]) == ("1", "projctl-shy.socket")
    assert entry["PROJCTL_REASON"] == "trigger-limit-hit"
    assert "rearmed" in [event["event"] for event in events(stage, "--project", "shy")]
    assert rearmed_sockets(stage, "shy") >= 1
    # The waits grow, and with them the time in which to see what is said.
    provoke(stage, "shy", 5003)
    wait_for(lambda: not is_given_up(stage, "shy"), "the socket open once more")
    provoke(stage, "shy", 5003)
    words = "socket: the server was started too often without taking a connection"
    shown(stage, "shy", rf"{words}, 3 times, opens again in \d s")
    told = projctl(stage.lab, "logs", "shy", "-n", "1000").stdout
    assert "Opened projctl-shy.socket of project shy again" in told
    # Mended, it opens with the apply, and what was before is forgotten once it was stopped for being idle.
    change(stage, wanted, shy=server(listen=5003, idle="1s"))
    time.sleep(1)  # so long systemd still counts what came before
    assert stage.get(5003)
    stage.wait_until_asleep("shy")
    known = len(rearmed(stage, "shy"))
    change(stage, wanted, shy=SHY)
    provoke(stage, "shy", 5003)
    wait_for(lambda: len(rearmed(stage, "shy")) > known, "it open again")
    assert rearmed(stage, "shy")[known]["PROJCTL_FAILURES"] == "1"


def test_a_server_that_takes_no_connection_is_started_for_it_after_growing_pauses(
    stage: Stage, wanted: dict[str, Any]
) -> None:
    change(stage, wanted, lazy=LAZY)
    stage.lab.connect(5009, timeout=30.0).close()  # systemd starts it for who has gone, too
    shown(stage, "lazy", rf"{UNTAKEN}, 12 times, next start in [01] s")
    with stage.lab.connect(5009, timeout=60.0) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        shown(stage, "lazy", rf"{UNTAKEN}, 14 times, next start in [2-4] s")
        wait_for(lambda: projects(stage.lab)["lazy"]["state"] == "failed", "projctl to say that it failed")
        gaps = longest_gaps(stage, "projctl-lazy.service")
        assert gaps[0] >= 1
        assert gaps[1] >= 2
        assert {(entry["PROJCTL_REASON"], entry["PROJCTL_FAILURES"]) for entry in held_up(stage, "lazy")} == {
            ("untaken", "12"),
            ("untaken", "13"),
        }
        assert rearmed_sockets(stage, "lazy") == 2
        # What waits all the while is answered as soon as the server is mended.
        change(stage, wanted, lazy=server(listen=5009, idle="1s"))
        assert b"pid " in b"".join(iter(lambda: client.recv(65536), b""))
    # What was before is forgotten once it was stopped for being idle.
    stage.wait_until_asleep("lazy")
    change(stage, wanted, lazy=LAZY)
    stage.lab.connect(5009).close()
    shown(stage, "lazy", rf"{UNTAKEN}, 12 times, next start in [01] s")
    projctl(stage.lab, "down", "lazy")
    wait_for(lambda: stage.status()["lazy"]["state"] == "down", "nothing to wait for")


@pytest.mark.skipif(systemctl.supported_version() < 255, reason="systemd gives the socket up")
def test_however_fast_it_ends_the_socket_stays_open(stage: Stage, wanted: dict[str, Any]) -> None:
    change(stage, wanted, fast={**SHY, "listen": 5010})
    with stage.lab.connect(5010, timeout=60.0) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        shown(stage, "fast", rf"{UNTAKEN}, [0-9]+ times, next start in [2-4] s")
        assert not is_given_up(stage, "fast")
        change(stage, wanted, fast=server(listen=5010, idle="never"))
        assert b"pid " in b"".join(iter(lambda: client.recv(65536), b""))


def test_a_server_that_takes_one_connection_in_each_run_waits_for_nothing(
    stage: Stage, wanted: dict[str, Any]
) -> None:
    change(stage, wanted, one=server(run=[sys.executable, "-c", SERVE_ONE], listen=5011, idle="never"))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(stage.lab.connect(5011, timeout=60.0)) for _ in range(40)]
        for client in clients:
            client.sendall(b"?")
        clients[-1].shutdown(SHUT_WR)
        assert {client.recv(3) for client in clients} == {b"one"}
    assert rearmed(stage, "one") == held_up(stage, "one") == []
    assert stage.status()["one"]["state"] in {"asleep", "running"}


def test_an_agent_that_comes_later_forgets_what_a_healthy_server_did_before(
    stage: Stage, wanted: dict[str, Any]
) -> None:
    script = SCRIPT.replace("/run/once", "/run/again")
    change(stage, wanted, again={**ONCE, "run": ["/bin/sh", "-c", script], "listen": 5012})
    stage.systemctl("start", "projctl-again.service", check=False)
    wait_for(lambda: restarts(stage, "again") == 1, "its second start")
    stage.systemctl("restart", "projctl-agent.service")
    wait_for(lambda: restarts(stage, "again") == 0, "no restarts to count")


def test_the_pauses_of_a_server_behind_a_proxy_grow(stage: Stage, wanted: dict[str, Any]) -> None:
    change(stage, wanted, behind={**BROKEN, "listen": 5013, "server": "proxy"})
    with stage.lab.connect(5013, timeout=30.0) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        what = r"crash: (exit status 3|the server ended before it was ready.*)"
        shown(stage, "behind", rf"{what}, [0-9]+ times, next start in [34] s")
        gaps = longest_gaps(stage, "projctl-behind.backend.service")
        assert gaps[0] >= 1
        assert gaps[1] >= 2
    projctl(stage.lab, "down", "behind")


def test_who_comes_right_after_the_first_pause_is_served_by_what_is_mended(
    stage: Stage, wanted: dict[str, Any]
) -> None:
    """Systemd must not count what was before it."""
    change(stage, wanted, soon=server(run=["/bin/sh", "-c", MENDED], listen=5008, idle="never"))
    provoke(stage, "soon", 5008)
    stage.lab.write("/run/mended", "")
    wait_for(lambda: rearmed(stage, "soon"), "the socket open again")
    assert stage.get(5008).startswith("pid ")
    assert len(rearmed(stage, "soon")) == 1


def test_an_agent_that_comes_later_opens_what_failed_before(stage: Stage, wanted: dict[str, Any]) -> None:
    # A server that crashed once has run well for a while: systemd's count of its restarts begins anew.
    assert "exited, code=exited, status=3" in projctl(stage.lab, "logs", "once").stdout
    wait_for(lambda: restarts(stage, "once") == 0, "no restarts to count")
    stage.systemctl("stop", "projctl-agent.service")
    change(stage, wanted, late={**SHY, "listen": 5004})
    provoke(stage, "late", 5004)
    stage.systemctl("start", "projctl-agent.service")
    wait_for(lambda: rearmed(stage, "late"), "the socket open again")
    # Nobody opens what was taken down, though it had failed before.
    wait_for(lambda: not is_given_up(stage, "late"), "it listening")
    provoke(stage, "late", 5004)
    projctl(stage.lab, "down", "late")
    wait_for(lambda: projects(stage.lab)["late"]["state"] == "down", "it down")


def start_what_leaks_and_what_does_not(stage: Stage) -> None:
    """Two instances behind one port, and a server whose child leaves its control group with the socket."""
    for instance in ("pair@0", "pair@1"):
        stage.project(instance, "5006", socket="ReusePort=yes", IdleStopSec="1000")
        stage.systemctl("start", f"projctl-{instance}.service")
    uid = stage.runtime.rpartition("/")[2]
    away = f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/away"
    escape = f"mkdir -p {away}; (echo 0 >{away}/cgroup.procs; exec sleep 1000) &"
    run = f"ExecStart=\nExecStart=/bin/sh -c '{escape} exec {sys.executable} {SERVER}'"
    stage.project("prison", "5007", service=run, IdleStopSec="1000")
    assert stage.get(5007)


def stop_what_leaks_and_what_does_not(stage: Stage) -> None:
    """The child is found, and no server that goes on behind the same port is taken for one."""
    for instance in ("pair@0", "prison"):  # the agent looks at them in this order
        stage.systemctl("stop", f"projctl-{instance}.service")
    wait_for(lambda: stage.entries(MESSAGE_ID=LEAK, PROJCTL_PROJECT="prison"), "the child found")
    (entry,) = stage.entries(MESSAGE_ID=LEAK, PROJCTL_PROJECT="prison")
    assert entry["PROJCTL_PROCESSES"] == f"sleep ({entry['PROJCTL_PIDS']})"
    assert stage.state("pair@1") == "active"
    assert stage.entries(MESSAGE_ID=LEAK, PROJCTL_PROJECT="pair") == []


def test_a_users_own_agent_mends_by_itself() -> None:
    with Lab.boot() as lab:
        # As from systemd 254 on, which gives it the one to wake a machine up; the manager leaves its services none.
        lab.write("/etc/systemd/system/user@.service.d/capable.conf", CAPABLE)
        lab.run(["systemctl", "daemon-reload"])
        stage = install_user_agent(lab, "bob")
        start = "Type=exec\nExecStart=\nExecStart={}"
        stage.project("shy", "5003", service=start.format("/bin/true"), socket=limits())
        stage.project("vain", "5008", service=start.format("/bin/sh -c 'sleep 0.2'"))
        stage.project(
            "broken", "5004", service=f"{start.format('/bin/false')}\nRestart=on-failure\nRestartSec=1s"
        )
        child = f"/bin/sh -c 'setsid sleep 1000 & exec {sys.executable} {SERVER}'"
        stage.project("parent", "5005", service=f"KillMode=process\nExecStart=\nExecStart={child}")
        assert stage.get(5005)
        start_what_leaks_and_what_does_not(stage)
        stage.systemctl("start", "--no-block", "projctl-broken.service")
        provoke(stage, "shy", 5003)
        wait_for(lambda: rearmed(stage, "shy"), "the socket open again")
        shown(stage, "broken", r"crash: exit status 1, [0-9]+ times, next start in [0-9] s")
        stage.lab.connect(5008).close()
        shown(stage, "vain", rf"{UNTAKEN}, [0-9]+ times, next start in [0-9]+ s")
        wait_for(lambda: stage.entries(MESSAGE_ID=LEAK, PROJCTL_PROJECT="parent"), "what was left behind")
        stop_what_leaks_and_what_does_not(stage)
