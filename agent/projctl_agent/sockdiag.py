"""The kernel's socket tables by netlink sock_diag(7): connections and accept queues of chosen listeners."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

_NETLINK_SOCK_DIAG = 4
_TCP_DIAG, _SOCK_DIAG_BY_FAMILY = 18, 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_DUMP_REQUEST = 0x301
_ESTABLISHED, _TIME_WAIT, _CLOSE_WAIT, _LISTEN = 1, 6, 8, 10
#: A client that has said all it will (CLOSE_WAIT) may well wait for the answer.
_STATES = 1 << _ESTABLISHED | 1 << _CLOSE_WAIT | 1 << _LISTEN
_BYTECODE_ATTRIBUTE = 1
_TCP_INFO_ATTRIBUTE, _GROUP_ATTRIBUTE = 2, 21
_OP_JUMP, _OP_SOURCE_PORT_IS, _OP_DESTINATION_PORT_IS = 1, 11, 12
#: In one request, whose bytecode has room for 64 KiB.
_MOST_PORTS = 5000
#: How long the side that closed a TCP connection first remembers it, in milliseconds: fixed in the kernel.
_REMEMBERED_MS = 60_000
_UNIX_NAME_ATTRIBUTE, _UNIX_WAITING_ATTRIBUTE, _UNIX_QUEUE_ATTRIBUTE = 0, 3, 4
_UNIX_SHOW_NAME_WAITING_AND_QUEUE = 0x1 | 0x8 | 0x10
_HEADER = struct.Struct("=IHHII")
#: inet_diag_req: idiag_ext and idiag_states of any socket
_INET_REQUEST = struct.Struct("=3xB48xI4x")
_INET_MESSAGE = struct.Struct("=BBBBHH16s16sIQIIIII")
_UNIX_MESSAGE = struct.Struct("=BBBBIQ")
#: tcp_info.last_data_sent, last_ack_sent, last_data_recv: milliseconds
_LAST_DATA = struct.Struct("=44xIII")
#: tcp_info.segs_in
_SEGMENTS = struct.Struct("=140xI")
_PADDED = 3


@dataclass(slots=True)
class Traffic:
    """Open connections by identity, milliseconds since data last came in and went out on any of them.

    Those that the client has closed on its side are open until the server closes them, too.
    `segments` is how many packets all of them have taken; `opaque` counts those that do not tell when, `queue` those
    that are not accepted yet, whose identities `waiting` has; `listeners` has the inodes of the sockets that listen.
    """

    connections: set[int] = field(default_factory=set)
    received_ms: int | None = None
    sent_ms: int | None = None
    segments: int = 0
    opaque: int = 0
    queue: int = 0
    listeners: set[int] = field(default_factory=set, compare=False)
    waiting: set[int] = field(default_factory=set, compare=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP port; `address` is the packed IP address listened on, None for all."""

    port: int
    address: bytes | None = None


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint of `[::]:5001` or `127.0.0.1:5001`, as systemd prints ListenStream. Raises ValueError."""
    host, _, port = text.rpartition(":")
    address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    return Endpoint(int(port), None if address.is_unspecified else address.packed)


class Listeners(NamedTuple):
    """What is listened on.

    Where others listen on the same port too, `groups` tells ours apart: the kernel's ids of the control groups
    that the listeners were opened in, which connections inherit. A port none of whose listeners lies in one of
    them (a user's manager opens them elsewhere, an old kernel does not tell) counts as a whole.
    """

    endpoints: tuple[Endpoint, ...]
    groups: frozenset[int] = frozenset()


class _Row(NamedTuple):
    """One TCP socket of the kernel's table; `group` is 0 where the kernel does not tell it."""

    port: int
    address: bytes
    state: int
    identity: int
    queue: int
    received_ms: int | None
    sent_ms: int | None
    group: int
    inode: int
    segments: int


def tcp_traffic(wanted: Sequence[Listeners]) -> list[Traffic]:
    """What the kernel knows of each of these and of their connections, by one look at its table.

    Raises OSError if it does not tell.
    """
    by_port: dict[int, list[_Row]] = {}
    for row in _tcp_rows({endpoint.port for listeners in wanted for endpoint in listeners.endpoints}):
        by_port.setdefault(row.port, []).append(row)
    return [_sorted_out(by_port, listeners) for listeners in wanted]


def _sorted_out(by_port: Mapping[int, list[_Row]], listeners: Listeners) -> Traffic:
    wanted, groups = set(listeners.endpoints), listeners.groups
    every = (row for port in {endpoint.port for endpoint in wanted} for row in by_port.get(port, ()))
    rows = [row for row in every if _is_wanted(row, wanted)]
    told = {row.port for row in rows if row.state == _LISTEN and row.group in groups}
    found = Traffic()
    for row in rows:
        if row.port not in told or row.group in groups:
            _add_tcp(found, row)
    return found


def closed_ms(endpoints: Iterable[Endpoint]) -> int | None:
    """Milliseconds since a connection to these ports was closed that the kernel still remembers; None for none.

    It remembers one for a minute, and on the side that closed it first. Raises OSError.
    """
    ports = sorted({endpoint.port for endpoint in endpoints})
    if not ports:
        return None
    tests = [(code, port) for code in (_OP_SOURCE_PORT_IS, _OP_DESTINATION_PORT_IS) for port in ports]
    with _connect() as channel:
        messages = list(_inet_dump(channel, 0, 1 << _TIME_WAIT, _any_of(tests)))
    left = [_INET_MESSAGE.unpack_from(message)[10] for message in messages]
    return max(0, _REMEMBERED_MS - max(left)) if left else None


def _is_wanted(row: _Row, wanted: set[Endpoint]) -> bool:
    return Endpoint(row.port) in wanted or Endpoint(row.port, row.address) in wanted


def _tcp_rows(ports: Collection[int]) -> Iterator[_Row]:
    if not ports:
        return
    rest = sorted(ports)
    with _connect() as channel:
        while rest:
            some, rest = rest[:_MOST_PORTS], rest[_MOST_PORTS:]
            code = _any_of([(_OP_SOURCE_PORT_IS, port) for port in some])
            for message in _inet_dump(channel, 1 << (_TCP_INFO_ATTRIBUTE - 1), _STATES, code):
                yield _tcp_row(message)


def _inet_dump(channel: socket.socket, extensions: int, states: int, code: bytes) -> Iterator[memoryview]:
    """The TCP sockets in these states that the bytecode accepts.

    Of both families at once, as only the older of the kernel's two requests gives them: each walks through all sockets.
    """
    request = _INET_REQUEST.pack(extensions, states) + _attribute(_BYTECODE_ATTRIBUTE, code)
    yield from _dump(channel, _TCP_DIAG, request)


def unix_traffic(paths: Iterable[str]) -> Traffic:
    """As tcp_traffic, for stream sockets at these paths (`@name`: abstract), without the time of data."""
    wanted = {
        path.replace("@", "\0", 1).encode() if path.startswith("@") else path.encode() for path in paths
    }
    found = Traffic()
    if not wanted:
        return found
    request = struct.pack("=BBHIIIQ", socket.AF_UNIX, 0, 0, _STATES, 0, _UNIX_SHOW_NAME_WAITING_AND_QUEUE, 0)
    with _connect() as channel:
        for message in _dump(channel, _SOCK_DIAG_BY_FAMILY, request):
            _add_unix(found, wanted, message)
    return found


def _connect() -> socket.socket:
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    channel.settimeout(5)
    return channel


def _any_of(tests: list[tuple[int, int]]) -> bytes:
    """Bytecode the kernel runs per socket: accept those that pass one of these tests of a port."""
    code = b""
    for position, (test, port) in enumerate(tests):
        last = position == len(tests) - 1
        code += struct.pack("=BBH", test, 8, 12) + struct.pack("=BBH", 0, 0, port)
        if not last:
            rest = 12 * (len(tests) - position - 1) - 4
            code += struct.pack("=BBH", _OP_JUMP, 4, 4 + rest)
    return code


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) & _PADDED)


def _dump(channel: socket.socket, kind: int, request: bytes) -> Iterator[memoryview]:
    head = _HEADER.pack(_HEADER.size + len(request), kind, _DUMP_REQUEST, 1, 0)
    channel.sendto(head + request, (0, 0))
    while True:
        datagram = memoryview(channel.recv(65536))
        while len(datagram) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(datagram)
            if kind in {_NLMSG_DONE, _NLMSG_ERROR}:
                # Both say how it ended: a kernel without the module for these sockets is done at once.
                if code := -struct.unpack_from("=i", datagram, _HEADER.size)[0]:
                    raise OSError(code, "cannot read the kernel's socket table")
                return
            yield datagram[_HEADER.size : length]
            datagram = datagram[(length + _PADDED) & ~_PADDED :]


def _attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind, data[4:length]
        data = data[(length + _PADDED) & ~_PADDED :]


def _tcp_row(message: memoryview) -> _Row:
    family, state, _, _, port, _, source, _, _, cookie, _, queue, _, _, inode = _INET_MESSAGE.unpack_from(
        message
    )
    received, sent, group, segments = None, None, 0, 0
    for kind, payload in _attributes(message[_INET_MESSAGE.size :]):
        if kind == _TCP_INFO_ATTRIBUTE and len(payload) >= _LAST_DATA.size:
            sent, _, received = _LAST_DATA.unpack_from(payload)
            if len(payload) >= _SEGMENTS.size:
                (segments,) = _SEGMENTS.unpack_from(payload)
        elif kind == _GROUP_ATTRIBUTE:
            (group,) = struct.unpack_from("=Q", payload)
    address = _plain_address(source[:4] if family == socket.AF_INET else source)
    port = socket.ntohs(port)
    return _Row(port, address, state, cookie, queue, received, sent, group, inode, segments)


def _add_tcp(found: Traffic, row: _Row) -> None:
    if row.state == _LISTEN:
        found.queue += row.queue
        found.listeners.add(row.inode)
        return
    if not row.inode:  # it gets one when it is accepted
        found.waiting.add(row.identity)
        if row.state == _CLOSE_WAIT:
            return  # in the queue and nowhere else
    found.connections.add(row.identity)
    found.opaque += row.received_ms is None
    found.received_ms = _younger(found.received_ms, row.received_ms)
    found.sent_ms = _younger(found.sent_ms, row.sent_ms)
    found.segments += row.segments


def _younger(one: int | None, other: int | None) -> int | None:
    return min((age for age in (one, other) if age is not None), default=None)


def _plain_address(packed: bytes) -> bytes:
    """An IPv4 address out of its IPv6 form, as dual-stack sockets report it."""
    return packed[12:] if packed.startswith(bytes(10) + b"\xff\xff") else packed


def _add_unix(found: Traffic, wanted: set[bytes], message: memoryview) -> None:
    _, _, state, _, inode, cookie = _UNIX_MESSAGE.unpack_from(message)
    attributes = dict(_attributes(message[_UNIX_MESSAGE.size :]))
    name = bytes(attributes.get(_UNIX_NAME_ATTRIBUTE, b"")).rstrip(b"\0")
    if name not in wanted:
        return
    if state == _ESTABLISHED:
        found.connections.add(cookie)
        found.opaque += 1
    elif _UNIX_QUEUE_ATTRIBUTE in attributes:
        found.queue += struct.unpack_from("=I", attributes[_UNIX_QUEUE_ATTRIBUTE])[0]
        found.listeners.add(inode)
        # They are named by the inodes of their clients, by 0 where those have gone.
        clients = struct.iter_unpack("=I", attributes.get(_UNIX_WAITING_ATTRIBUTE, b""))
        found.waiting.update(client for (client,) in clients if client)
