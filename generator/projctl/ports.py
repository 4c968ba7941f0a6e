"""Wanted addresses and taken ones in, an address for every socket out; moves nobody who has a port."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from projctl.addresses import Address, Endpoint, Holdings, Policy, Taken, overlap
from projctl.diagnostics import Mark, Problem
from projctl.listen import MAX_SOCKET_PATH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from projctl.listen import Listen
    from projctl.model import Fleet
    from projctl.registry import Entry, Key, Registry

__all__ = ["BACKEND", "Address", "Endpoint", "Holdings", "Policy", "Taken", "Want", "assign", "wants"]

BACKEND = "backend"
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Want:
    """One socket that is to get an address. `ranges` are those of `ports:`; `listen` may have its own."""

    project: str
    socket: str
    listen: Listen
    ranges: Ranges
    mark: Mark | None = None
    path: str | None = None

    @property
    def key(self) -> Key:
        """Its key in the registry."""
        return self.project, self.socket

    @property
    def allowed(self) -> Ranges:
        """The ranges an automatic port may come from."""
        return self.listen.ranges or self.ranges

    def allows(self, port: int) -> bool:
        """Whether the port is within those ranges."""
        return any(first <= port <= last for first, last in self.allowed)


def wants(fleet: Fleet, backends: Mapping[str, Listen] = MappingProxyType({})) -> list[Want]:
    """What all sockets of a fleet want; `backends` are the private addresses of servers behind a proxy."""
    found = []
    for name, project in fleet.projects.items():
        for socket, listen in project.listen.items():
            keys = ("listen", socket) if (name, "listen", socket) in fleet.marks else ("listen",)
            place, mark = ".".join(("$.projects", name, *keys)), fleet.mark(name, *keys)
            for number, key in enumerate(keys_of(socket, project.instances if _is_own(listen) else 1)):
                found.append(Want(name, key, listen.of_instance(number), project.ports, mark, place))
        if name in backends:
            place, mark = f"$.projects.{name}.backend_ports", fleet.mark(name, "backend_ports")
            for key in keys_of(BACKEND, project.instances):
                found.append(Want(name, key, backends[name], project.backend_ports, mark, place))
    return found


def _is_own(listen: Listen) -> bool:
    """Whether each instance has an address of its own: no two can share a Unix socket."""
    return listen.each or listen.kind == "unix"


def keys_of(socket: str, count: int) -> list[str]:
    """The names under which the addresses of one socket of all instances are kept."""
    return [socket] if count == 1 else [f"{socket}@{number}" for number in range(count)]


def key_for(given: Mapping[Key, Address], project: str, socket: str, number: int) -> Key:
    """The key of an instance's address: its own, or the one that all instances share."""
    own = (project, f"{socket}@{number}")
    return own if own in given else (project, socket)


def assign(
    wanted: Iterable[Want],
    registry: Registry,
    taken: Taken,
    *,
    ephemeral: tuple[int, int] | None,
    now: datetime,
    reserved: Collection[int] = frozenset(),
    privileged_below: int = 0,
    taken_paths: Mapping[str, str] = MappingProxyType({}),
    runtime_dir: str = "/run/projctl",
) -> tuple[dict[Key, Address], Registry, list[Problem]]:
    """An address for every want that can have one, the registry that says so, and what is wrong.

    The result does not depend on the order of `wanted`. Whoever is in the registry keeps its port while its
    ranges allow it and nobody outside holds it. A new fixed port that an automatic socket already has is
    refused: moving a port that clients know is worse than an error before anything happened. Among new
    sockets, fixed ports come first, then ports a socket had before, then the lowest free ones; ports that
    somebody had before are left to them until nothing else is free.
    `taken` and `taken_paths` (who listens on Unix sockets) must not hold our own listeners.
    """
    work = _Assignment(registry, taken, Policy(ephemeral, reserved, privileged_below))
    in_order = sorted(wanted, key=_reading_order)
    for want in in_order:
        if want.listen.kind == "unix":
            work.place_path(want, want.listen.path or _default_path(want, runtime_dir), taken_paths)
    work.place_ports([want for want in in_order if want.listen.kind == "tcp"])
    held = {key: (a.host, a.port) for key, a in work.given.items() if a.port is not None}
    return work.given, registry.record(held, now), work.problems


def _reading_order(want: Want) -> tuple[bool, Mark, Key]:
    return want.mark is None, want.mark or Mark("", 0, 0), want.key


def _default_path(want: Want, runtime_dir: str) -> str:
    # A project's name has no dot, so no two sockets can come to the same file.
    socket, at, number = want.socket.partition("@")
    stem = want.project if socket == "http" else f"{want.project}.{socket}"
    return f"{runtime_dir}/{stem}{at}{number}.sock"


class _Assignment:
    """One run of `assign`: what is given so far, and to whom."""

    def __init__(self, registry: Registry, taken: Taken, policy: Policy) -> None:
        self.given: dict[Key, Address] = {}
        self.problems: list[Problem] = []
        self._registry, self._taken, self._policy = registry, taken, policy
        self._holders: dict[int, list[tuple[str | None, Want | Endpoint]]] = {}
        self._paths: dict[str, Want] = {}
        self._candidates: dict[tuple[Ranges, str | None], Iterator[int]] = {}
        self._exhausted: dict[tuple[Ranges, str | None], str] = {}
        for endpoint in taken:
            self._holders.setdefault(endpoint[1], []).append((endpoint[0], endpoint))

    def place_path(self, want: Want, path: str, taken_paths: Mapping[str, str]) -> None:
        if (length := len(path.encode(errors="surrogateescape"))) > MAX_SOCKET_PATH:
            message = f"socket {path} must have at most {MAX_SOCKET_PATH} bytes in its path, it has {length}"
            self._refuse(want, message, "name a shorter path")
            return
        owner = self._paths.get(path)
        if owner is None and path not in taken_paths:
            self._paths[path] = want
            self.given[want.key] = Address("unix", path=path)
            return
        who = self._name(owner, want) if owner else taken_paths[path]
        self._refuse(want, f"socket {path} is taken by {who}", "choose another path")

    def place_ports(self, wanted: list[Want]) -> None:
        """Give out ports to those that have one, to new fixed ones, to those that had one, to the rest."""
        fixed = [want for want in wanted if want.listen.port is not None]
        automatic = [want for want in wanted if want.listen.port is None]
        for want in fixed:
            if self._is_settled(want):
                self._place_fixed(want)
        for want in automatic:
            self._restore(want, self._registry.entries.get(want.key), or_ephemeral=True)
        for want in fixed:
            if not self._is_settled(want):
                self._place_fixed(want)
        # Stable: two that had the same port in turn are tried latest first, equals in reading order.
        waiting = [want for want in automatic if want.key not in self.given]
        for want in sorted(waiting, key=self._last_release, reverse=True):
            self._restore(want, self._registry.history.get(want.key))
        for want in waiting:
            if want.key not in self.given:
                self._place_lowest(want)

    def _is_settled(self, want: Want) -> bool:
        entry = self._registry.entries.get(want.key)
        return entry is not None and (entry.host, entry.port) == (want.listen.host, want.listen.port)

    def _last_release(self, want: Want) -> str:
        entry = self._registry.history.get(want.key)
        return entry.since if entry else ""

    def _restore(self, want: Want, entry: Entry | None, *, or_ephemeral: bool = False) -> None:
        if entry is None or not want.allows(entry.port) or self._policy.is_privileged(entry.port):
            return
        if self._policy.is_ephemeral(entry.port) and not or_ephemeral:
            return
        if self._holder(want.listen.host, entry.port) is None:
            self._give(want, entry.port)

    def _place_fixed(self, want: Want) -> None:
        port = want.listen.port
        assert port is not None  # noqa: S101
        if self._policy.is_privileged(port):
            limit = self._policy.privileged_below
            hint = f"choose a port from {limit} on, or apply the manifest as root for the system manager"
            self._refuse(want, f"port {port} is below {limit}: only root may listen there", hint)
        elif (holder := self._holder(want.listen.host, port)) is not None:
            self._refuse(want, *self._conflict(want, port, holder))
        else:
            self._give(want, port)
            if self._policy.is_ephemeral(port):
                self._warn_ephemeral(want, port)

    def _place_lowest(self, want: Want) -> None:
        pool = want.allowed, want.listen.host
        # What was passed over stays taken, so each pool is walked only once.
        candidates = self._candidates.setdefault(pool, in_preference(want.allowed, self._registry))
        for port in candidates:
            if not self._is_avoided(port) and self._holder(want.listen.host, port) is None:
                self._give(want, port)
                return
        if pool not in self._exhausted:
            self._exhausted[pool] = self._why_exhausted(want.allowed)
        key = '"backend_ports"' if want.socket == BACKEND else '"ports"'
        wider = 'widen the range, or write "auto"' if want.listen.ranges else f"add a range under {key}"
        self._refuse(want, self._exhausted[pool], wider)

    def _is_avoided(self, port: int) -> bool:
        return self._policy.is_ephemeral(port) or self._policy.is_privileged(port)

    def _holder(self, host: str | None, port: int) -> Want | Endpoint | None:
        for other, holder in self._holders.get(port, ()):
            if overlap(host, other):
                return holder
        return None

    def _give(self, want: Want, port: int) -> None:
        self._holders.setdefault(port, []).append((want.listen.host, want))
        self.given[want.key] = Address("tcp", want.listen.host, port)

    def _refuse(self, want: Want, message: str, hint: str) -> None:
        self.problems.append(Problem(message, want.mark, want.path, hint))

    def _warn_ephemeral(self, want: Want, port: int) -> None:
        first, last = self._policy.ephemeral or (0, 0)
        self.problems.append(
            Problem(
                f"port {port} is in the ephemeral range {first}-{last}: an outgoing connection may hold it"
                " when its socket starts",
                want.mark,
                want.path,
                "choose a port outside it, or reserve it: projctl doctor prints the sysctl line",
                "warning",
            )
        )

    def _conflict(self, want: Want, port: int, holder: Want | Endpoint) -> tuple[str, str]:
        if not isinstance(holder, Want):
            hint = 'stop it, choose another port, or write "auto"'
            return f"port {port} is taken by {self._taken[holder]}", hint
        hint = 'give one of them another port, or write "auto"'
        if holder.listen.port is None and holder.project != want.project:
            hint = f'choose another port, or first give "{holder.project}" a fixed one elsewhere'
        return f"port {port} is taken by {self._name(holder, want)}", hint

    def _name(self, holder: Want, asker: Want) -> str:
        place = f" ({holder.mark.place})" if holder.mark else ""
        if holder.project == asker.project:
            return f'socket "{holder.socket}" of the same project{place}'
        return f'project "{holder.project}"{place}'

    def _why_exhausted(self, ranges: Ranges) -> str:
        ports = set(_each_port(ranges))
        ephemeral = sum(self._policy.is_ephemeral(port) for port in ports)
        privileged = sum(self._policy.is_privileged(port) for port in ports)
        head = "range" if len(ranges) == 1 else "ranges"
        text = f"{head} {', '.join(f'{a}-{b}' for a, b in ranges)} {'has' if len(ranges) == 1 else 'have'}"
        text += f" {len(ports)} port{'s' * (len(ports) != 1)}, "
        if not ephemeral and not privileged:
            return text + "all taken"
        first, last = self._policy.ephemeral or (0, 0)
        parts = [(len(ports) - ephemeral - privileged, "taken")]
        parts += [(ephemeral, f"in the ephemeral range {first}-{last}")]
        parts += [(privileged, f"below {self._policy.privileged_below}, for root only")]
        return text + "none free: " + ", ".join(f"{count} {what}" for count, what in parts if count)


def in_preference(ranges: Ranges, registry: Registry) -> Iterator[int]:
    """The ports in the order in which new sockets get them: what somebody had before last, longest ago first."""
    had: dict[int, str] = {}
    for entry in registry.history.values():
        had[entry.port] = max(entry.since, had.get(entry.port, ""))
    yield from (port for port in _each_port(ranges) if port not in had)
    yield from sorted((port for port in _each_port(ranges) if port in had), key=had.__getitem__)


def _each_port(ranges: Ranges) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)
