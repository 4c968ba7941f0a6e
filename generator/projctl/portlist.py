"""Ports as people ask about them: how full each range is, who has which, which could be had; pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from projctl.addresses import Address, Policy
from projctl.model import DEFAULT_BACKEND_PORTS, DEFAULT_PORTS
from projctl.ports import in_preference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from projctl.model import Fleet
    from projctl.registry import Entry, Key, Registry

Kind = Literal["ports", "backend_ports", "listen"]


@dataclass(frozen=True)
class Holding:
    """Every port that is not free: recorded for projects, held by `others`, or better left alone by `policy`."""

    registry: Registry
    others: frozenset[int] = frozenset()
    policy: Policy = field(default_factory=Policy)

    def is_barred(self, port: int) -> bool:
        """Whether no automatic port may be there."""
        return self.policy.is_ephemeral(port) or self.policy.is_privileged(port)

    @cached_property
    def given(self) -> frozenset[int]:
        """The ports of projects."""
        return frozenset(entry.port for entry in self.registry.entries.values())


@dataclass(frozen=True)
class RangeUse:
    """How full one range is: `used` by projects, `others` by somebody else, `barred` ephemeral or privileged."""

    kind: Kind
    first: int
    last: int
    total: int
    used: int
    others: int
    barred: int
    free: int

    @property
    def utilisation(self) -> float:
        """The share that cannot be had, from 0 to 1."""
        return round(1 - self.free / self.total, 4)

    def as_json(self) -> dict[str, Any]:
        """The object that `ports --json` prints."""
        return {**asdict(self), "utilisation": self.utilisation}


@dataclass(frozen=True)
class PortUse:
    """One port and its socket; `starts` of its servers, None when no agent tells; `installed`: has units."""

    project: str
    socket: str
    host: str | None
    port: int
    since: str
    installed: bool = False
    starts: int | None = None

    @property
    def address(self) -> str:
        """The address for people."""
        return Address("tcp", self.host, self.port).display


def ranges(fleet: Fleet | None) -> list[tuple[Kind, tuple[int, int]]]:
    """The ranges that a fleet names, each once, or the defaults; sorted by kind of use and port."""
    found: set[tuple[Kind, tuple[int, int]]] = set()
    for project in fleet.projects.values() if fleet else ():
        found |= {("ports", span) for span in project.ports}
        found |= {("backend_ports", span) for span in project.backend_ports}
        found |= {("listen", span) for listen in project.listen.values() for span in listen.ranges}
    if not found:
        found = {("ports", span) for span in DEFAULT_PORTS}
        found |= {("backend_ports", span) for span in DEFAULT_BACKEND_PORTS}
    order = ("ports", "listen", "backend_ports")
    return sorted(found, key=lambda item: (order.index(item[0]), item[1]))


def use_of(kind: Kind, span: tuple[int, int], holding: Holding) -> RangeUse:
    """How full the range from the first to the last port of `span` is."""
    ports = set(range(span[0], span[1] + 1))
    used = ports & holding.given
    others = (ports - used) & holding.others
    barred = {port for port in ports - used - others if holding.is_barred(port)}
    free = len(ports) - len(used) - len(others) - len(barred)
    return RangeUse(kind, *span, len(ports), len(used), len(others), len(barred), free)


def uses(
    entries: Mapping[Key, Entry], installed: Collection[str], starts: Mapping[str, int | None]
) -> list[PortUse]:
    """The ports of projects by name; `starts` is by server, `NAME` or `NAME@N`."""
    return [
        PortUse(
            project, socket, entry.host, entry.port, entry.since,
            project in installed, _starts(project, socket, starts),
        )
        for (project, socket), entry in sorted(entries.items(), key=lambda item: _reading_order(item[0]))
    ]  # fmt: skip


def _reading_order(key: Key) -> tuple[str, str, int]:
    socket, _, number = key[1].partition("@")
    return key[0], socket, int(number or 0)


def _starts(project: str, socket: str, starts: Mapping[str, int | None]) -> int | None:
    """Of the one server that has the socket, or of all that share it."""
    number = socket.partition("@")[2]
    if number:
        return starts.get(f"{project}@{number}")
    counts = [n for name, n in starts.items() if name.partition("@")[0] == project and n is not None]
    return sum(counts) if counts else None


def free(holding: Holding, fleet: Fleet | None) -> Iterator[int]:
    """The ports that new projects could have, each once, in the order in which they would get them."""
    spans = tuple(span for kind, span in ranges(fleet) if kind == "ports") or DEFAULT_PORTS
    for port in dict.fromkeys(in_preference(spans, holding.registry)):
        if port not in holding.given and port not in holding.others and not holding.is_barred(port):
            yield port
