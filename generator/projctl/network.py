"""Who listens on this machine, which ports the kernel keeps, whether one can be had; reads only."""

from __future__ import annotations

import errno
import pwd
import re
import socket
import struct
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.addresses import Endpoint

_PROC = Path("/proc")
_LISTENING = "0A"
_ACCEPTS = 0x10000
_SYSCTL = _PROC / "sys/net/ipv4"

#: `taken`: somebody listens there; `absent`: no interface has the address; `forbidden`: only root may.
Outcome = Literal["free", "taken", "absent", "forbidden"]


K = TypeVar("K")


class Listeners(Mapping[K, str]):
    """Live listeners by address; looks for the names of processes only when asked for the first one."""

    def __init__(self, found: Mapping[K, tuple[int, int | None]]) -> None:
        self._found = found

    def __getitem__(self, address: K) -> str:
        inode, uid = self._found[address]
        if inode in self._owners:
            pid, name = self._owners[inode]
            return f'process "{name}" (pid {pid})'
        return "another process" if uid is None else f'a process of user "{user_name(uid)}"'

    def __iter__(self) -> Iterator[K]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @cached_property
    def _owners(self) -> dict[int, tuple[int, str]]:
        return socket_owners()


def listeners() -> Listeners[Endpoint]:
    """Every address and port somebody listens on in this network namespace, and who."""
    found: dict[Endpoint, tuple[int, int | None]] = {}
    for table in ("tcp", "tcp6"):
        for fields in map(str.split, _lines(_PROC / "net" / table)):
            if fields[3] == _LISTENING:
                address, port = fields[1].split(":")
                found.setdefault((_host(address), int(port, 16)), (int(fields[9]), int(fields[7])))
    return Listeners(found)


def _lines(table: Path) -> list[str]:
    try:
        text = table.read_text(errors="surrogateescape")
    except OSError:
        # Without IPv6 there is no tcp6.
        return []
    return [line for line in text.split("\n")[1:] if line]


def _host(text: str) -> str:
    # The kernel prints each 32-bit word of the address in the byte order of the machine.
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def unix_listeners() -> Listeners[str]:
    """The paths of all Unix sockets that somebody listens on, and who."""
    found: dict[str, tuple[int, int | None]] = {}
    for line in _lines(_PROC / "net/unix"):
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7].startswith("/") and int(fields[3], 16) & _ACCEPTS:
            found[fields[7]] = int(fields[6]), None
    return Listeners(found)


def socket_owners() -> dict[int, tuple[int, str]]:
    """The lowest process id that holds each socket, by inode, with its name; only what we may look at."""
    found: dict[int, tuple[int, str]] = {}
    for pid in sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()):
        try:
            inodes = list(_socket_inodes(_PROC / str(pid) / "fd"))
            name = (_PROC / str(pid) / "comm").read_text(errors="replace").rstrip("\n") if inodes else ""
        except OSError:
            # It ended meanwhile, or belongs to somebody else.
            continue
        for inode in inodes:
            found.setdefault(inode, (pid, name))
    return found


def _socket_inodes(directory: Path) -> Iterator[int]:
    for entry in directory.iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            yield int(match[1])


def user_name(uid: int) -> str:
    """The user's name, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def try_bind(host: str | None, port: int) -> Outcome:
    """What systemd would meet when it binds there: as it does, with SO_REUSEADDR and both IP versions."""
    try:
        with _tcp_socket(host) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.family == socket.AF_INET6 and host in (None, "::"):
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind((host or ("::" if probe.family == socket.AF_INET6 else "0.0.0.0"), port))  # noqa: S104
    except OSError as error:
        return _outcome(error)
    return "free"


def _tcp_socket(host: str | None) -> socket.socket:
    if host is not None and ":" not in host:
        return socket.socket(socket.AF_INET)
    try:
        return socket.socket(socket.AF_INET6)
    except OSError:
        if host is None:
            return socket.socket(socket.AF_INET)
        raise


def _outcome(error: OSError) -> Outcome:
    if error.errno == errno.EADDRINUSE:
        return "taken"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "forbidden"
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return "absent"
    raise error


def bindable(host: str | None, port: int) -> bool:
    """Whether a socket unit can listen there; FreeBind= lets it do so before the address is up."""
    return try_bind(host, port) in ("free", "absent")


def ephemeral_range() -> tuple[int, int] | None:
    """First and last port the kernel takes for outgoing connections (ip(7)); None where it does not tell."""
    words = _sysctl("ip_local_port_range").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else None


def reserved_ports() -> frozenset[int]:
    """Ports the kernel leaves out of that range (ip_local_reserved_ports)."""
    return parse_ports(_sysctl("ip_local_reserved_ports"))


def parse_ports(text: str) -> frozenset[int]:
    """The ports of a list as the kernel writes it, such as `8080,9000-9100`."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def first_unprivileged_port() -> int:
    """The lowest port that an ordinary user may listen on."""
    return int(_sysctl("ip_unprivileged_port_start").strip() or 1024)


def _sysctl(name: str) -> str:
    try:
        return (_SYSCTL / name).read_text()
    except OSError:
        return ""


def interfaces() -> list[str]:
    """The names of this machine's network interfaces."""
    return sorted(name for _, name in socket.if_nameindex())
