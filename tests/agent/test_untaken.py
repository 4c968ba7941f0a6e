"""Whether a run took any of the connections that waited for it, told by real queues of the kernel."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from projctl_agent import activity
from projctl_agent.activity import Queue, Target
from projctl_agent.sockdiag import Endpoint, Listeners

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESET = struct.pack("ii", 1, 0)


class Port:
    """A listener, and clients of it that nobody has served yet."""

    def __init__(self, stack: ExitStack, path: Path | None) -> None:
        self._stack = stack
        server = socket.create_server(("127.0.0.1", 0)) if path is None else socket.socket(socket.AF_UNIX)
        self._server = stack.enter_context(server)
        if path:
            server.bind(str(path))
            server.listen()
        self._address = server.getsockname()
        tcp = Listeners(()) if path else Listeners((Endpoint(self._address[1]),))
        self._target = Target((), tcp, (str(path),) if path else (), "/none")
        self.clients: list[socket.socket] = []

    def come(self, count: int = 1) -> None:
        for _ in range(count):
            client = self._stack.enter_context(socket.socket(self._server.family))
            client.connect(self._address)
            self.clients.append(client)

    def serve(self) -> None:
        self._stack.enter_context(self._server.accept()[0])

    def waits(self) -> Queue:
        return activity.queue(self._target)


@pytest.fixture(params=["tcp", "unix"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Port]:
    with ExitStack() as stack:
        yield Port(stack, tmp_path / "s" if request.param == "unix" else None)


def test_what_waits_is_known_until_it_is_taken(port: Port) -> None:
    assert port.waits() == Queue(0, frozenset())
    port.come(2)
    before = port.waits()
    assert (before.length, len(before.known)) == (2, 2)
    port.serve()
    after = port.waits()
    assert after.length == 1
    assert after.known < before.known


def test_nothing_is_taken_while_others_come(port: Port) -> None:
    port.come(2)
    before = port.waits()
    assert before.has_all_of(before)
    port.come(3)
    assert port.waits().has_all_of(before)


@pytest.mark.parametrize("coming", [0, 1, 3])
def test_one_that_is_taken_is_missed_however_many_come(port: Port, coming: int) -> None:
    port.come(2)
    before = port.waits()
    port.serve()
    port.come(coming)
    assert not port.waits().has_all_of(before)


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_takes_nothing(port: Port, reset: bool) -> None:
    port.come(2)
    before = port.waits()
    if reset and port.clients[0].family == socket.AF_INET:
        port.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    port.clients[0].close()
    after = port.waits()
    assert after.length == 2
    assert after.has_all_of(before)
    port.come()
    assert port.waits().has_all_of(after)
    assert port.waits().has_all_of(before)


def test_who_only_closed_his_side_is_missed_when_he_is_served(port: Port) -> None:
    port.come(2)
    for client in port.clients:
        client.shutdown(socket.SHUT_WR)
    before = port.waits()
    port.serve()
    port.come()
    port.clients[-1].shutdown(socket.SHUT_WR)
    assert not port.waits().has_all_of(before)
