"""Frozen projects on a real systemd: what they cost, what wakes them, and that nothing leaves them frozen."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, install_agent, install_user_agent, wait_for
from steps import ENVIRONMENT, apply, let_everybody_in, projctl, projects, properties, write
from test_agent_events import events

from projctl.lab import Lab

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

AGENT, HELPER = "projctl-agent.service", "projctl-agent-helper.service"
#: As soon as the agent could see that nobody uses it.
FREEZE = "0.5s"
COUNTING = Path(__file__).with_name("counting_server.py")
APPS = Path(__file__).parent / "servers/apps"


def counting(listen: object, **idle: object) -> dict[str, Any]:
    """A project around the counting server, which freezes soon."""
    run = [sys.executable, str(COUNTING)]
    policy = {"freeze": FREEZE, "stop": "never", **idle}
    return {"path": str(COUNTING.parent), "run": run, "server": "native", "listen": listen, "idle": policy}


SOON = {"freeze": FREEZE, "stop": "never"}
PROJECTS = {
    "still": counting(5001),
    "talk": counting(5002) | {"user": "nobody"},
    "ends": counting(5003, stop="3s"),
    "many": counting({"main": 5004, "other": 5005, "local": "/run/still.sock"}),
    "pair": counting("5006-5007") | {"instances": 2},
    "behind": {
        "path": str(APPS), "listen": 5009, "idle": SOON, "server": "proxy",
        "run": f"{sys.executable} -m http.server --bind 127.0.0.1 $PORT",
    },
    "closed": counting(5010),
    "lean": counting(5013, reclaim=True),
    "torn": counting(5014, stop="3s"),
    "again": counting(5015),
    "pool": counting(5012) | {"warm": "always"},
    "loop": {"path": str(APPS), "listen": 5011, "idle": SOON, "run": "uvicorn asgi:app --loop uvloop"},
}  # fmt: skip
#: What an administrator may order, by the name of the project that it is ordered for, each on a port of its own.
JOBS = {
    "a": "systemctl restart projctl-a.service",
    "b": "systemctl reload-or-restart projctl-b.service",
    "c": "systemctl stop projctl-c.service",
    "d": "restart d",
    "e": "stop e",
    "f": "apply --no-preflight",
}
PROJECTS |= {name: counting(5020 + number) for number, name in enumerate(JOBS)}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        let_everybody_in(lab)
        stage = install_agent(lab)
        apply(lab, PROJECTS)
        yield stage


def ask(connection: socket.socket, line: str = "next") -> tuple[int, int]:
    """The number that a line is answered by, and whose answer it is."""
    connection.sendall(f"{line}\n".encode())
    with connection.makefile("rb") as answers:
        number, pid = answers.readline().split()
    return int(number), int(pid)


def once(stage: Stage, port: int, line: str = "next") -> tuple[int, int]:
    """The same on a connection of its own."""
    with stage.lab.connect(port) as connection:
        return ask(connection, line)


def wait_until_frozen(stage: Stage, name: str) -> None:
    wait_for(lambda: stage.status()[name]["state"] == "frozen", f"project {name} frozen")


def owner(stage: Stage, pid: int) -> str:
    return stage.lab.run(["stat", "--format=%U", f"/proc/{pid}"]).stdout.strip()


def cpu(stage: Stage, name: str) -> int:
    group = stage.systemctl("show", "-P", "ControlGroup", f"projctl-{name}.service")
    text = stage.lab.run(["cat", f"/sys/fs/cgroup{group}/cpu.stat"]).stdout
    return int(text.split()[1])


def reasons(stage: Stage, name: str, event: str = "thawed") -> list[str]:
    entries = stage.entries(PROJCTL_EVENT=event, PROJCTL_PROJECT=name)
    assert {entry["_SYSTEMD_UNIT"] for entry in entries} <= {AGENT}
    return [entry["PROJCTL_REASON"] for entry in entries]


def test_it_costs_nothing_keeps_all_and_a_connection_wakes_it(stage: Stage) -> None:
    assert once(stage, 5001)[0] == 1
    wait_until_frozen(stage, "still")
    assert projects(stage.lab)["still"]["state"] == "frozen"
    assert stage.status()["still"]["reason"] is None
    found, key = stage.metrics(), ("project", "still")
    assert (found["projctl_frozen", key], found["projctl_running", key]) == (1, 1)
    used = cpu(stage, "still")
    time.sleep(0.5)
    assert cpu(stage, "still") == used
    number, pid = once(stage, 5001)
    assert (number, pid) == (2, stage.show("projctl-still.service", "MainPID")[0])
    wait_for(lambda: reasons(stage, "still") == ["connection"], "what woke it, in the journal")
    entry = stage.entries(PROJCTL_EVENT="frozen", PROJCTL_PROJECT="still")[0]
    assert float(entry["PROJCTL_IDLE_SECONDS"]) >= 0.5
    assert entry["PROJCTL_INVOCATION_ID"] == stage.invocation("still")
    told = [event["event"] for event in events(stage, "--project", "still")]
    assert [event for event in told if event in {"frozen", "thawed"}][:2] == ["frozen", "thawed"]
    wait_for(
        lambda: stage.metrics().get(("projctl_frozen_seconds_total", key), 0) >= 0.5, "frozen seconds counted"
    )


def test_bytes_on_an_open_connection_wake_it_and_its_clock_stood_still(stage: Stage) -> None:
    """A server of another user: root alone, without the helper's capabilities, could neither see nor stop it."""
    with stage.lab.connect(5002) as connection:
        before, pid = ask(connection, "ticks")
        assert owner(stage, pid) == "nobody"
        wait_until_frozen(stage, "talk")
        time.sleep(1)
        assert 0 < ask(connection, "ticks")[0] - before < 40
        assert set(reasons(stage, "talk")) == {"bytes"}
        # All that could be sent is: the server waits for room, and no byte of the client will ever come.
        connection.sendall(b"flood\n")
        wait_until_frozen(stage, "talk")
        with connection.makefile("rb") as answer:
            assert answer.readline().endswith(b"end\n")


def test_an_idle_stop_of_what_is_frozen(stage: Stage) -> None:
    first = once(stage, 5003)
    wait_until_frozen(stage, "ends")
    stage.wait_until_asleep("ends")
    assert properties(stage.lab, "projctl-ends.service", "Result")["Result"] == "success"
    assert reasons(stage, "ends") == ["stop"]
    wait_for(lambda: stage.stops("ends") == {"idle": 1}, "the stop counted")
    again = once(stage, 5003)
    assert (again[0], again[1] != first[1]) == (1, True)


def test_jobs_of_systemd_thaw_first(stage: Stage) -> None:
    """A process that did not go on would be killed once TimeoutStopSec is over."""
    for number in range(len(JOBS)):
        once(stage, 5020 + number)
    for name in JOBS:
        wait_until_frozen(stage, name)
    write(stage.lab, PROJECTS | {"f": PROJECTS["f"] | {"env": {"CHANGED": "1"}}})
    begun = time.monotonic()
    for words in map(str.split, JOBS.values()):
        if words[0] == "systemctl":
            stage.systemctl(*words[1:])
        else:
            projctl(stage.lab, *words)
    assert time.monotonic() - begun < 29
    for number, name in enumerate(JOBS):
        unit = f"projctl-{name}.service"
        assert properties(stage.lab, unit, "Result", "NRestarts") == {"Result": "success", "NRestarts": "0"}
        assert once(stage, 5020 + number)[0] == 1


def test_each_socket_wakes_it_and_all_close(stage: Stage) -> None:
    once(stage, 5004)
    fetch = ["curl", "-s", "-m", "1", "--http0.9", "--unix-socket", "/run/still.sock", "http://x/"]
    for wake in (lambda: once(stage, 5005), lambda: stage.lab.run(fetch, check=False)):
        wait_until_frozen(stage, "many")
        before = len(reasons(stage, "many"))
        wake()
        wait_for(lambda old=before: reasons(stage, "many")[old : old + 1] == ["connection"], "awake")  # type: ignore[misc]
    wait_until_frozen(stage, "many")
    projctl(stage.lab, "down", "many")
    for port in (5004, 5005):
        with pytest.raises(ConnectionRefusedError):
            stage.lab.connect(port).close()
    projctl(stage.lab, "up", "many")
    assert once(stage, 5004)[0] == 1


def test_a_socket_that_systemctl_stops_is_closed(stage: Stage) -> None:
    once(stage, 5010)
    wait_until_frozen(stage, "closed")
    stage.systemctl("stop", "projctl-closed.socket")

    def closed() -> bool:
        try:
            stage.lab.connect(5010).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_for(closed, "the port closed")


def test_each_instance_freezes_by_itself(stage: Stage) -> None:
    once(stage, 5006)
    once(stage, 5007)
    for name in ("pair@0", "pair@1"):
        wait_until_frozen(stage, name)
    once(stage, 5006)
    wait_for(lambda: reasons(stage, "pair"), "one of them awake")
    assert {
        entry["PROJCTL_INSTANCE"] for entry in stage.entries(PROJCTL_EVENT="thawed", PROJCTL_PROJECT="pair")
    } == {"0"}


def test_what_is_warm_is_frozen_before_anybody_came(stage: Stage) -> None:
    wait_until_frozen(stage, "pool")
    (pid,) = stage.show("projctl-pool.service", "MainPID")
    assert once(stage, 5012) == (1, pid)


def test_where_the_kernel_reclaims_no_memory_it_is_told_once(stage: Stage) -> None:
    """Where it does, less of it is left; either way it is frozen, and goes on with all it had."""
    assert once(stage, 5013)[0] == 1
    group = stage.systemctl("show", "-P", "ControlGroup", "projctl-lean.service")
    can = stage.lab.run(["test", "-e", f"/sys/fs/cgroup{group}/memory.reclaim"], check=False).returncode == 0
    for number in (2, 3):
        wait_until_frozen(stage, "lean")
        assert once(stage, 5013)[0] == number
    told = [entry["MESSAGE"] for entry in stage.entries(PROJCTL_EVENT="reclaim-refused")]
    refusal = "Cannot reclaim the memory of frozen project lean: the kernel reclaims no memory here"
    assert told == ([] if can else [refusal])


def test_uvloop_keeps_a_byte_in_a_pipe_for_a_lock(stage: Stage) -> None:
    assert stage.get(5011)
    wait_until_frozen(stage, "loop")
    assert stage.get(5011)


def test_a_proxy_and_its_backend_freeze_together(stage: Stage) -> None:
    assert stage.get(5009)
    wait_until_frozen(stage, "behind")
    used = cpu(stage, "behind"), cpu(stage, "behind.backend")
    time.sleep(0.3)
    assert (cpu(stage, "behind"), cpu(stage, "behind.backend")) == used
    assert stage.get(5009)
    wait_until_frozen(stage, "behind")
    stage.systemctl("stop", "projctl-behind.service")
    wait_for(lambda: stage.state("behind.backend") == "inactive", "both asleep")


@pytest.mark.parametrize(("unit", "signal"), [(AGENT, "KILL"), (HELPER, "KILL"), (HELPER, "TERM")])
def test_nothing_stays_frozen_when_we_end(stage: Stage, unit: str, signal: str) -> None:
    number = once(stage, 5001)[0]
    wait_until_frozen(stage, "still")
    (pid,) = stage.show("projctl-still.service", "MainPID")
    stage.systemctl("kill", "-s", signal, "--kill-whom=main", unit)
    wait_for(lambda: process_state(stage, pid) == "S", "the server to go on")
    assert once(stage, 5001) == (number + 1, pid)
    wait_for(lambda: stage.systemctl("is-active", AGENT, check=False) == "active", "the agent back")


def test_a_helper_that_hangs_is_ended_and_nothing_stays_frozen(stage: Stage) -> None:
    number = once(stage, 5001)[0]
    stage.write(f"{HELPER}.d/soon.conf", "[Service]\nWatchdogSec=3s\n")
    stage.systemctl("daemon-reload")
    stage.systemctl("restart", HELPER)
    wait_until_frozen(stage, "still")
    (pid,) = stage.show("projctl-still.service", "MainPID")
    stage.systemctl("kill", "-s", "STOP", "--kill-whom=main", HELPER)
    wait_for(lambda: process_state(stage, pid) == "S", "the server to go on")
    assert once(stage, 5001) == (number + 1, pid)
    stage.lab.run(["rm", f"/etc/systemd/system/{HELPER}.d/soon.conf"])
    stage.systemctl("daemon-reload")
    assert stage.entries(UNIT=HELPER, UNIT_RESULT="watchdog")


def test_a_helper_that_begins_continues_what_it_finds_stopped(stage: Stage) -> None:
    number, pid = once(stage, 5001)
    stage.systemctl("stop", AGENT, HELPER)
    stage.lab.run(["kill", "-STOP", str(pid)])
    wait_for(lambda: process_state(stage, pid) == "T", "the server stopped")
    stage.systemctl("start", HELPER)
    wait_for(lambda: process_state(stage, pid) == "S", "the server to go on")
    stage.systemctl("start", AGENT)
    assert once(stage, 5001) == (number + 1, pid)


def test_a_reload_leaves_it_the_same_and_a_new_manager_stops_it(stage: Stage) -> None:
    """The reload waits until it goes on; to be sure of the stop, it is frozen when the manager is another."""
    wait = "while grep -q ^State:.T /proc/$MAINPID/status; do sleep 0.1; done; kill -HUP $MAINPID"
    stage.write("projctl-again.service.d/reload.conf", f"[Service]\nExecReload=/bin/sh -c '{wait}'\n")
    stage.systemctl("daemon-reload")
    number, pid = once(stage, 5015)
    wait_until_frozen(stage, "again")
    stage.systemctl("reload", "projctl-again.service")
    wait_for(lambda: reasons(stage, "again") == ["systemd"], "awake for its reload")
    assert once(stage, 5015) == (number + 1, pid)
    stage.systemctl("daemon-reexec")
    wait_until_frozen(stage, "again")
    stage.systemctl("stop", "projctl-again.service")
    wait_for(lambda: reasons(stage, "again")[-1:] == ["systemd"], "awake for its stop")
    assert properties(stage.lab, "projctl-again.service", "Result")["Result"] == "success"
    assert once(stage, 5015)[0] == 1


def test_what_is_frozen_goes_on_before_the_last_look(stage: Stage) -> None:
    """Its stop has to wait for the helper, and somebody comes meanwhile."""
    first = once(stage, 5014)
    wait_until_frozen(stage, "torn")
    stage.systemctl("kill", "-s", "STOP", "--kill-whom=main", HELPER)
    due = stage.status()["torn"]["would_stop_at"]
    wait_for(lambda: time.time() > due + 1, "its stop to be due")
    assert stage.entries(PROJCTL_EVENT="idle-stop", PROJCTL_PROJECT="torn") == []
    with stage.lab.connect(5014) as connection:
        connection.sendall(b"next\n")
        stage.systemctl("kill", "-s", "CONT", "--kill-whom=main", HELPER)
        with connection.makefile("rb") as answers:
            assert answers.readline() == f"2 {first[1]}\n".encode()
        used = time.time()
    stage.wait_until_asleep("torn")
    (decided,) = stage.entries(PROJCTL_EVENT="idle-stop", PROJCTL_PROJECT="torn")
    assert int(decided["__REALTIME_TIMESTAMP"]) / 1e6 >= used + 2.9
    wait_for(lambda: stage.stops("torn") == {"idle": 1}, "one stop counted")
    assert stage.starts("torn") == 1


def process_state(stage: Stage, pid: int) -> str:
    with contextlib.suppress(IndexError):
        return stage.lab.run(["cat", f"/proc/{pid}/stat"]).stdout.rpartition(")")[2].split()[0]
    return ""


def test_what_cannot_be_frozen_says_so_once_and_stops_as_ever(stage: Stage) -> None:
    refused = {
        "outside": ("Slice=system.slice", "does not lie below projctl.slice"),
        "watched": ("WatchdogSec=1h", "has WatchdogSec="),
    }
    apply(stage.lab, PROJECTS | {name: counting(5030 + n, stop="2s") for n, name in enumerate(refused)})
    for name, (directive, _) in refused.items():
        stage.write(f"projctl-{name}.service.d/x.conf", f"[Service]\n{directive}\n")
    stage.project("hand", "5032", IdleFreezeSec="0.5", IdleStopSec="2")
    for port in (5030, 5031):
        once(stage, port)
    stage.get(5032)
    for name in (*refused, "hand"):
        stage.wait_until_asleep(name)
        expected = refused.get(name, ("", "has no unit file of projctl"))[1]
        (entry,) = stage.entries(PROJCTL_EVENT="freeze-refused", PROJCTL_PROJECT=name)
        assert expected in entry["MESSAGE"]
        assert reasons(stage, name, "frozen") == []


def test_a_users_own_projects_freeze_without_a_helper() -> None:
    with Lab.boot() as lab:
        stage = install_user_agent(lab, "bob")
        write(lab, {"mine": counting(5001)}, "/home/bob/mine.yaml")
        environment = ENVIRONMENT | {"HOME": "/home/bob", "XDG_RUNTIME_DIR": stage.runtime, "USER": "bob"}
        words = ["-m", "projctl", "apply", "--user", "--no-preflight", "-f", "/home/bob/mine.yaml"]
        lab.run([sys.executable, *words], user="bob", cwd="/home/bob", env=environment)
        assert once(stage, 5001)[0] == 1
        wait_until_frozen(stage, "mine")
        assert once(stage, 5001)[0] == 2
        wait_until_frozen(stage, "mine")
        (pid,) = stage.show("projctl-mine.service", "MainPID")
        stage.systemctl("kill", "-s", "KILL", "--kill-whom=main", AGENT)
        wait_for(lambda: process_state(stage, pid) == "S", "the server to go on")
        assert once(stage, 5001) == (3, pid)
        stage.systemctl("stop", AGENT)
        lab.run(["kill", "-STOP", str(pid)])
        wait_for(lambda: process_state(stage, pid) == "T", "the server stopped")
        stage.systemctl("start", AGENT)
        assert once(stage, 5001) == (4, pid)
