"""What is told of runs that end, and whether something of them stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_stage import SERVER, Stage, install_agent, kill_agent, wait_for
from steps import projects
from test_agent_events import events

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDED = "e1e86dd2a61d1600d5a55b3ee7b3e42f"
IDLE_STOP = "d649923182a64247b971172f532f4fa7"
LEAK = "f8bc3d4a200d8f0bf2ce77aee6878482"
#: Bytes of a TCP packet without data over IPv4.
LAST_PACKET = 52
#: The test server, after a shell has done something else.
RUN = f"ExecStart=\nExecStart=/bin/sh -c '{{}} exec {SERVER}'"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def figures(stage: Stage, invocation: str, message: str = ENDED) -> dict[str, float]:
    """The numbers of the one entry about this run."""
    wait_for(lambda: stage.entries(MESSAGE_ID=message, PROJCTL_INVOCATION_ID=invocation), "its figures")
    (entry,) = stage.entries(MESSAGE_ID=message, PROJCTL_INVOCATION_ID=invocation)
    assert entry["_SYSTEMD_UNIT"] == "projctl-agent.service"
    names = ("UPTIME_SECONDS", "IDLE_SECONDS", "CPU_SECONDS", "MEMORY_BYTES", "BYTES_IN", "BYTES_OUT")
    return {name.lower(): float(entry[f"PROJCTL_{name}"]) for name in names}


def test_a_run_that_ends_leaves_its_figures(stage: Stage) -> None:
    stage.project("told", "5001", IdleStopSec="100")
    counted = (0, 0)
    for path, end in (("/", "stop"), ("/slow?seconds=0.5", "stop"), ("/crash", "crash")):
        stage.get(5001)
        invocation = stage.invocation("told")
        wait_for(lambda: stage.status()["told"]["would_stop_at"], "the first look")
        stage.get(5001, path)
        if end == "stop":
            stage.systemctl("stop", "projctl-told.service")
        found = figures(stage, invocation)
        now = tuple(stage.show("projctl-told.socket", "IPIngressBytes", "IPEgressBytes"))
        # What says that the client has closed, too, and the answer, may come when a server that crashed is gone.
        missing_in = now[0] - counted[0] - found["bytes_in"]
        missing_out = now[1] - counted[1] - found["bytes_out"]
        assert {missing_in, missing_out} <= ({0, LAST_PACKET} if end == "crash" else {0})
        assert found["bytes_in"] > 0
        counted = now[0], now[1]
        assert 0 < found["cpu_seconds"] < 10
        assert found["memory_bytes"] > 1_000_000
        assert 0 < found["idle_seconds"] <= found["uptime_seconds"] < 30


def test_an_idle_stop_tells_the_figures_once(stage: Stage) -> None:
    stage.project("once", "5002")
    stage.get(5002)
    invocation = stage.invocation("once")
    stage.wait_until_asleep("once")
    found = figures(stage, invocation, IDLE_STOP)
    assert found["bytes_in"] == stage.show("projctl-once.socket", "IPIngressBytes")[0]
    # Another run of another project is told later than this one would have been.
    stage.project("after", "5003", IdleStopSec="100")
    stage.get(5003)
    later = stage.invocation("after")
    wait_for(lambda: stage.status()["after"]["would_stop_at"], "the first look")
    stage.systemctl("stop", "projctl-after.service")
    figures(stage, later)
    assert stage.entries(MESSAGE_ID=ENDED, PROJCTL_INVOCATION_ID=invocation) == []


def test_systemd_tells_of_a_run_that_no_agent_saw(stage: Stage) -> None:
    stage.project("unseen", "5007", IdleStopSec="infinity")
    stage.systemctl("stop", "projctl-agent.service")
    stage.get(5007, "/burn?seconds=60")
    # It is said of runs that took more than a second.
    wait_for(lambda: stage.show("projctl-unseen.service", "CPUUsageNSec")[0] > 1_100_000_000, "work done")
    stage.systemctl("stop", "projctl-unseen.service")
    stage.systemctl("start", "projctl-agent.service")
    key = ("projctl_cpu_seconds_total", ("project", "unseen"))
    wait_for(lambda: stage.metrics().get(key, 0) > 1.1, "its CPU time counted")
    (end,) = [event for event in events(stage, "--project", "unseen") if event["event"] == "stopped"]
    assert end["cpu_seconds"] == pytest.approx(stage.metrics()[key])
    assert end["reason"] == "manual" and "memory_bytes" not in end


def left(stage: Stage, name: str, number: int) -> list[dict[str, str]]:
    """So many entries about what runs of a project left."""
    wait_for(lambda: len(stage.entries(MESSAGE_ID=LEAK, PROJCTL_PROJECT=name)) >= number, "what it left told")
    return stage.entries(MESSAGE_ID=LEAK, PROJCTL_PROJECT=name)


def test_a_child_that_outlives_its_server_is_told_once_and_counted(stage: Stage) -> None:
    stage.project("parent", "5004", service=f"KillMode=process\n{RUN.format('setsid sleep 1000 &')}")
    pids = []
    for number in (1, 2):
        assert stage.get(5004)
        stage.wait_until_asleep("parent")
        entries = left(stage, "parent", number)
        assert len(entries) == number
        assert entries[-1]["PROJCTL_PROCESSES"] == f"sleep ({entries[-1]['PROJCTL_PIDS']})"
        assert entries[-1]["PROJCTL_UNIT"] == "projctl-parent.service"
        pids.append(entries[-1]["PROJCTL_PIDS"])
    assert stage.status()["parent"]["left_over"] == [f"sleep ({pid})" for pid in pids]
    leaks = [event for event in events(stage, "--project", "parent") if event["event"] == "leak"]
    assert [event["processes"] for event in leaks] == [f"sleep ({pid})" for pid in pids]
    assert projects(stage.lab)["parent"]["left_over"] == [f"sleep ({pid})" for pid in pids]
    stage.lab.run(["kill", *pids])
    wait_for(lambda: stage.lab.run(["kill", "-0", *pids], check=False).returncode, "both gone")
    ask: dict[str, object] = {"get": "status", "project": "parent"}
    assert stage.ask(ask)["projects"]["parent"]["left_over"] == []


def leaks(stage: Stage, name: str) -> float:
    return stage.metrics()["projctl_leaks_total", ("project", name)]


def test_what_no_agent_saw_left_behind_is_told_and_told_once(stage: Stage) -> None:
    kept = f"Slice=projctl-00.slice\nKillMode=process\n{RUN.format('setsid sleep 1000 &')}"
    stage.project("orphan", "5008", service=kept, IdleStopSec="infinity")
    assert stage.get(5008)
    stage.systemctl("stop", "projctl-agent.service")
    stage.systemctl("stop", "projctl-orphan.service")
    invocation = stage.invocation("orphan")
    stage.systemctl("start", "projctl-agent.service")
    (entry,) = left(stage, "orphan", 1)
    assert entry["PROJCTL_INVOCATION_ID"] == invocation
    pids = [entry["PROJCTL_PIDS"]]
    wait_for(lambda: leaks(stage, "orphan") == 1, "it counted")
    # Another agent knows of it, and of what comes on top, however often it looks.
    kill_agent(stage)
    assert stage.status()["orphan"]["left_over"] == [f"sleep ({pids[0]})"]
    assert stage.get(5008)
    stage.systemctl("stop", "projctl-orphan.service")
    (_, entry) = left(stage, "orphan", 2)
    pids.append(entry["PROJCTL_PIDS"])
    assert entry["PROJCTL_PROCESSES"] == f"sleep ({pids[1]})"
    kill_agent(stage)
    assert stage.status()["orphan"]["left_over"] == [f"sleep ({pid})" for pid in pids]
    wait_for(lambda: leaks(stage, "orphan") == 2, "both counted")
    stage.lab.run(["kill", *pids])


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_what_a_start_that_failed_left_behind_is_told(stage: Stage, restart: str) -> None:
    name = f"stillborn-{restart}"
    # What starts at the moment of the end may be of the next run.
    run = "setsid sleep 1000 & sleep 0.5; exit 3"
    left_behind = f"KillMode=process\nExecStart=\nExecStart=/bin/sh -c '{run}'"
    stage.project(name, f"/run/{name}.sock", service=f"Restart={restart}\nRestartSec=600\n{left_behind}")
    stage.systemctl("start", f"projctl-{name}.service", check=False)
    (entry,) = left(stage, name, 1)
    assert entry["PROJCTL_PROCESSES"] == f"sleep ({entry['PROJCTL_PIDS']})"
    wait_for(lambda: leaks(stage, name) == 1, "it counted")
    stage.systemctl("stop", f"projctl-{name}.service")
    stage.lab.run(["kill", entry["PROJCTL_PIDS"]])


def test_a_process_that_left_its_control_group_with_the_socket_is_found(stage: Stage) -> None:
    """Whoever it has become: root alone, without the helper's capability, could not see what this one has open."""
    away = "echo 0 >/sys/fs/cgroup/away/cgroup.procs; exec setpriv --reuid=nobody --clear-groups sleep 1000"
    escape = f"mkdir -p /sys/fs/cgroup/away; ({away}) &"
    stage.project("prison", "5005", service=RUN.format(escape))
    stage.project("clean", "5006")
    for port in (5005, 5006):
        assert stage.get(port)
    stage.wait_until_asleep("clean")
    stage.wait_until_asleep("prison")
    (entry,) = left(stage, "prison", 1)
    assert entry["PROJCTL_PROCESSES"] == f"sleep ({entry['PROJCTL_PIDS']})"
    owner = stage.lab.run(["stat", "--format=%U", f"/proc/{entry['PROJCTL_PIDS']}"]).stdout.strip()
    assert owner == "nobody"
    stage.lab.run(["kill", entry["PROJCTL_PIDS"]])
    assert stage.entries(MESSAGE_ID=LEAK, PROJCTL_PROJECT="clean") == []
