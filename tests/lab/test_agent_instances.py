"""Several instances of a project, watched one by one though they share a port."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, projctl, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_COUNTERS = "4c17779e887147b59460df30aa683277"
IDLE_STOP = "d649923182a64247b971172f532f4fa7"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def running(stage: Stage, *names: str) -> set[str]:
    return {name for name in names if stage.state(name) == "active"}


def hold(stage: Stage, stack: ExitStack, port: int) -> None:
    """Keep a connection open on which nothing moves."""
    connection = stack.enter_context(stage.lab.connect(port))
    connection.sendall(b"GET /socket HTTP/1.0\r\n\r\n")
    assert connection.recv(4096)


def test_the_unused_instance_stops_while_another_holds_a_connection(stage: Stage) -> None:
    apply(stage.lab, {"pair": server(listen=5001, instances=2, idle="2s")})
    names = ("pair@0", "pair@1")
    with ExitStack() as stack:
        hold(stage, stack, 5001)
        (used,) = running(stage, *names)
        (unused,) = {*names} - {used}
        stage.systemctl("start", f"projctl-{unused}.service")
        invocation = stage.invocation(unused)
        stage.wait_until_asleep(unused)
        assert running(stage, *names) == {used}
        shown = stage.status()
        assert (shown[used]["state"], shown[used]["activity"]) == ("running", "connections")
        wait_for(lambda: stage.status()[unused]["reason"] == "idle", "the reason of the stop")
        assert stage.status()[unused]["state"] == "asleep"
        assert stage.metrics()["projctl_running", ("project", used)] == 1
        assert stage.metrics()["projctl_running", ("project", unused)] == 0
        assert stage.stops(used) == {}
    stage.wait_until_asleep(used)
    for name in names:
        (entry,) = stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="pair", PROJCTL_INSTANCE=name[-1])
        assert entry["PROJCTL_UNIT"] == f"projctl-{name}.service"
        assert (entry["PROJCTL_INVOCATION_ID"] == invocation) == (name == unused)
        assert entry["MESSAGE"].startswith(f"Stopping project {name}: ")


def test_a_connection_that_waits_is_its_own_instances(stage: Stage) -> None:
    """Connections in the queue of an instance that cannot accept keep that one up, not its sibling."""
    apply(stage.lab, {"queue": server(listen=5002, instances=2, idle="2s")})
    names = ("queue@0", "queue@1")
    with ExitStack() as stack:
        stack.enter_context(stage.lab.connect(5002))
        wait_for(lambda: bool(running(stage, *names)), "an instance")
        (used,) = running(stage, *names)
        (unused,) = {*names} - {used}
        stage.systemctl("kill", "-s", "STOP", f"projctl-{used}.service")
        stage.systemctl("start", f"projctl-{unused}.service")
        # The kernel spreads them: some wait for the one, the others are served by its sibling at once.
        connections = [stack.enter_context(stage.lab.connect(5002)) for _ in range(16)]
        for connection in connections:
            connection.close()
        stage.wait_until_asleep(unused)
        assert running(stage, *names) == {used}
        assert stage.status()[used]["activity"] == "queue"
        stage.systemctl("kill", "-s", "CONT", f"projctl-{used}.service")
    stage.wait_until_asleep(used)


def test_bytes_are_counted_by_instance(stage: Stage) -> None:
    """A request moves both counters of the socket unit that took it, and none of its sibling's."""
    apply(stage.lab, {"count": server(listen=5003, instances=2, idle="never")})
    numbers = ("0", "1")
    for number in numbers:
        stage.systemctl("start", f"projctl-count@{number}.service")
    pids = {stage.show(f"projctl-count@{number}.service", "MainPID")[0]: number for number in numbers}

    def counters() -> dict[str, list[int]]:
        return {
            n: stage.show(f"projctl-count@{n}.socket", "IPIngressBytes", "IPEgressBytes") for n in numbers
        }

    answered = set()
    for _ in range(24):
        before = counters()
        number = pids[int(stage.get(5003).removeprefix("pid "))]
        after = counters()
        answered.add(number)
        assert all(a > b for a, b in zip(after[number], before[number], strict=True))
        (sibling,) = {*numbers} - {number}
        assert after[sibling] == before[sibling]
    assert answered == {*numbers}


def test_one_instance_is_held_and_taken_down_all_the_same(stage: Stage) -> None:
    apply(stage.lab, {"duo": server(listen=5007, instances=2, idle="2s")})
    projctl(stage.lab, "hold", "duo@1")
    projctl(stage.lab, "start", "duo")
    stage.wait_until_asleep("duo@0")
    assert running(stage, "duo@0", "duo@1") == {"duo@1"}
    # An order is an order: it stops, and is held again once it runs again.
    projctl(stage.lab, "down", "duo@1")
    assert (stage.state("duo@1"), stage.status()["duo@1"]["state"]) == ("inactive", "down")
    assert stage.status()["duo@1"]["hold"]["until"] is None
    projctl(stage.lab, "up", "duo@1")
    projctl(stage.lab, "start", "duo")
    wait_for(
        lambda: len(stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="duo")) == 2, "the other stopped"
    )
    assert running(stage, "duo@0", "duo@1") == {"duo@1"}
    projctl(stage.lab, "release", "duo@1")
    stage.wait_until_asleep("duo@1")
    wait_for(lambda: stage.stops("duo@1") == {"manual": 1, "idle": 1}, "both ends")


def test_a_socket_that_does_not_count_keeps_nothing_awake(stage: Stage) -> None:
    listen = {"public": 5004, "admin": {"address": 5005, "counts_as_activity": False}}
    apply(stage.lab, {"quiet": server(listen=listen, idle="2s")})
    with ExitStack() as stack:
        hold(stage, stack, 5005)
        stage.wait_until_asleep("quiet")
        (entry,) = stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT="quiet")
        assert entry["PROJCTL_ACTIVITY"] in {"start", "cpu"}


def test_nothing_to_count_is_no_lack_of_counters(stage: Stage) -> None:
    stage.project("alone", "5006", Sockets="")
    with ExitStack() as stack:
        hold(stage, stack, 5006)
        stage.wait_until_asleep("alone")
    assert stage.entries(MESSAGE_ID=NO_COUNTERS, PROJCTL_PROJECT="alone") == []
