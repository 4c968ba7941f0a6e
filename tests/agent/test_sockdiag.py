"""The kernel's socket tables, asked about real sockets on loopback."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from projctl_agent import sockdiag
from projctl_agent.sockdiag import Endpoint, Listeners

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def listen(stack: ExitStack, host: str = "127.0.0.1") -> tuple[socket.socket, int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::"
    server = stack.enter_context(socket.create_server((host, 0), family=family, dualstack_ipv6=both))
    return server, server.getsockname()[1]


def traffic(*endpoints: Endpoint, groups: frozenset[int] = frozenset()) -> sockdiag.Traffic:
    (found,) = sockdiag.tcp_traffic([Listeners(endpoints, groups)])
    return found


def test_a_queued_connection_is_counted_until_it_is_accepted(stack: ExitStack) -> None:
    server, port = listen(stack)
    assert traffic(Endpoint(port)) == sockdiag.Traffic()
    stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    assert traffic(Endpoint(port)).queue == 1
    accepted, _ = server.accept()
    stack.enter_context(accepted)
    found = traffic(Endpoint(port))
    assert (found.queue, len(found.connections)) == (0, 1)


def test_a_client_that_only_listens_any_more_counts_once_it_is_accepted(stack: ExitStack) -> None:
    server, port = listen(stack)
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    client.shutdown(socket.SHUT_WR)
    found = traffic(Endpoint(port))
    assert (found.queue, found.connections) == (1, set())
    accepted = stack.enter_context(server.accept()[0])
    assert len(traffic(Endpoint(port)).connections) == 1
    accepted.close()
    assert traffic(Endpoint(port)).connections == set()


def test_each_direction_has_the_age_of_its_last_data(stack: ExitStack) -> None:
    server, port = listen(stack)
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    accepted = stack.enter_context(server.accept()[0])

    def ages() -> tuple[int, int]:
        found = traffic(Endpoint(port))
        assert found.received_ms is not None
        assert found.sent_ms is not None
        assert found.opaque == 0
        return found.received_ms, found.sent_ms

    time.sleep(0.3)
    quiet, segments = ages(), traffic(Endpoint(port)).segments
    client.send(b"x")
    accepted.recv(1)
    assert traffic(Endpoint(port)).segments == segments + 1
    received = ages()
    assert received[0] < quiet[0] <= received[1]
    accepted.send(b"x")
    assert ages()[1] < quiet[1]


def test_a_connection_keeps_its_identity(stack: ExitStack) -> None:
    _, port = listen(stack)
    first = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    before = traffic(Endpoint(port)).connections
    assert traffic(Endpoint(port)).connections == before
    stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    assert traffic(Endpoint(port)).connections > before
    first.close()


def test_ipv4_clients_of_a_dual_stack_listener_are_seen(stack: ExitStack) -> None:
    _, port = listen(stack, "::")
    stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    assert len(traffic(Endpoint(port)).connections) == 1
    assert len(traffic(sockdiag.parse_endpoint(f"127.0.0.1:{port}")).connections) == 1
    assert traffic(sockdiag.parse_endpoint(f"[::1]:{port}")).connections == set()


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_the_filter_takes_every_port_it_is_given_and_no_other(stack: ExitStack, count: int) -> None:
    ports = [listen(stack)[1] for _ in range(count + 1)]
    for port in ports:
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    found = traffic(*(Endpoint(port) for port in ports[:count]))
    assert (found.queue, len(found.connections)) == (count, count)


def test_one_reading_tells_several_apart(stack: ExitStack) -> None:
    ports = [listen(stack, host)[1] for host in ("127.0.0.1", "::1", "::")]
    stack.enter_context(socket.create_connection(("::1", ports[1])))
    asked = [
        Listeners((Endpoint(ports[0]),)),
        Listeners((Endpoint(ports[1]), Endpoint(ports[2]))),
        Listeners(()),
    ]
    assert [found.queue for found in sockdiag.tcp_traffic(asked)] == [0, 1, 0]


@pytest.mark.parametrize("abstract", [False, True])
def test_unix_sockets(stack: ExitStack, tmp_path: Path, abstract: bool) -> None:
    name = f"projctl-test-{tmp_path.name}-{time.monotonic_ns()}" if abstract else str(tmp_path / "s")
    shown, address = (f"@{name}", f"\0{name}") if abstract else (name, name)
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(address)
    server.listen()
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(address)
    assert sockdiag.unix_traffic([shown]).queue == 1
    accepted = stack.enter_context(server.accept()[0])
    found = sockdiag.unix_traffic([shown])
    assert (found.queue, len(found.connections)) == (0, 1)
    accepted.close()
    client.close()
    assert sockdiag.unix_traffic([shown]) == sockdiag.Traffic()


def test_a_port_of_no_known_control_group_counts_as_a_whole(stack: ExitStack) -> None:
    _, port = listen(stack)
    stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    found = traffic(Endpoint(port), groups=frozenset({1 << 60}))
    assert (found.queue, len(found.connections)) == (1, 1)


def test_a_table_that_the_kernel_does_not_have_is_no_empty_one() -> None:
    protocol = 250
    request = struct.pack("=BBBxI48x", socket.AF_INET, protocol, 0, 1 << 10)
    with (
        sockdiag._connect() as channel,
        pytest.raises(OSError, match="cannot read the kernel's socket table"),
    ):
        list(sockdiag._dump(channel, sockdiag._SOCK_DIAG_BY_FAMILY, request))


def test_nothing_wanted_asks_nothing() -> None:
    assert traffic() == sockdiag.unix_traffic([]) == sockdiag.Traffic()


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("[::]:5001", Endpoint(5001)),
        ("0.0.0.0:80", Endpoint(80)),
        ("127.0.0.1:5001", Endpoint(5001, b"\x7f\0\0\1")),
        ("[::1]:5001", Endpoint(5001, bytes(15) + b"\1")),
        ("[fe80::1%eth0]:1", Endpoint(1, b"\xfe\x80" + bytes(13) + b"\1")),
    ],
)
def test_addresses_as_systemd_prints_them(text: str, endpoint: Endpoint) -> None:
    assert sockdiag.parse_endpoint(text) == endpoint


@pytest.mark.parametrize("first", ["server", "client"])
def test_a_closed_connection_is_remembered(stack: ExitStack, first: str) -> None:
    server, port = listen(stack)
    assert sockdiag.closed_ms([Endpoint(port)]) is None
    client = socket.create_connection(("127.0.0.1", port))
    accepted, _ = server.accept()
    for end in (accepted, client) if first == "server" else (client, accepted):
        end.close()
    begin = time.monotonic()
    while (age := sockdiag.closed_ms([Endpoint(port)])) is None:
        assert time.monotonic() < begin + 10
    assert 0 <= age <= 1000 * (time.monotonic() - begin) + 1000
    time.sleep(1.2)
    later = sockdiag.closed_ms([Endpoint(port)])
    assert later is not None and later > age
    assert sockdiag.closed_ms([]) is None
