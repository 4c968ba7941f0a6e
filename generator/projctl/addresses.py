"""Addresses sockets listen on: how they are written, which collide, who holds them, which to avoid."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address, ip_address
from itertools import chain
from typing import Literal

#: An IP address (None: all addresses of the machine) and a TCP port.
Endpoint = tuple[str | None, int]
#: What others hold, and who: `process "nginx" (pid 812)`, `systemd unit foo.socket`.
Taken = Mapping[Endpoint, str]


@dataclass(frozen=True)
class Address:
    """Where a socket listens: TCP with `port` (`host` None: all addresses), or a Unix socket at `path`."""

    kind: Literal["tcp", "unix"]
    host: str | None = None
    port: int | None = None
    path: str | None = None
    device: str | None = None

    @property
    def listen_stream(self) -> str:
        """The value of ListenStream= (systemd.socket(5))."""
        if self.kind == "unix":
            return str(self.path)
        if self.host is None:
            return str(self.port)
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def display(self) -> str:
        """The address for people: `*:3400`, `127.0.0.1:3400`, `/run/projctl/blog.sock`."""
        return f"*:{self.port}" if self.kind == "tcp" and self.host is None else self.listen_stream


@cache
def _plain(host: str | None) -> tuple[int, str]:
    """The host's family (0: both) and its text, empty for all addresses of that family."""
    # `::` accepts IPv4 as well, unless a socket asks otherwise, which nobody can see from outside.
    if host is None or host == "::":
        return 0, ""
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.version, "" if address.is_unspecified else str(address)


def overlap(one: str | None, other: str | None) -> bool:
    """Whether two sockets on these addresses and the same port get in each other's way."""
    (family, text), (other_family, other_text) = _plain(one), _plain(other)
    if family and other_family and family != other_family:
        return False
    return not text or not other_text or text == other_text


class Holdings(Taken):
    """Several `Taken` as one, without what is `own`; the first source names the holder, when asked."""

    def __init__(self, *sources: Taken, own: Iterable[Address] = ()) -> None:
        hidden = {(_plain(a.host), a.port) for a in own if a.kind == "tcp"}
        # Where there is no IPv6, a socket for all addresses shows as one for all of IPv4.
        hidden |= {((4, ""), port) for plain, port in hidden if plain == (0, "")}
        endpoints = dict.fromkeys(chain.from_iterable(sources))
        self._sources = sources
        self._endpoints = {e: None for e in endpoints if (_plain(e[0]), e[1]) not in hidden}

    def __getitem__(self, endpoint: Endpoint) -> str:
        if endpoint not in self._endpoints:
            raise KeyError(endpoint)
        return next(source[endpoint] for source in self._sources if endpoint in source)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints)

    def __len__(self) -> int:
        return len(self._endpoints)


@dataclass(frozen=True)
class Policy:
    """Which ports are better left alone.

    `ephemeral`: first and last port of outgoing connections; `reserved`: those of them the kernel leaves out;
    `privileged_below`: the lowest port one may listen on without being root (0: any, for root itself).
    """

    ephemeral: tuple[int, int] | None = None
    reserved: Collection[int] = frozenset()
    privileged_below: int = 0

    def is_ephemeral(self, port: int) -> bool:
        """Whether an outgoing connection may hold the port."""
        if self.ephemeral is None or port in self.reserved:
            return False
        return self.ephemeral[0] <= port <= self.ephemeral[1]

    def is_privileged(self, port: int) -> bool:
        """Whether only root may listen there."""
        return port < self.privileged_below
