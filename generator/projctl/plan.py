"""Wanted units against installed units → what to do, in order; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from projctl import unitfile
from projctl.names import TARGET, closing_order, instance_of, opener_unit, project_of, serves, service_unit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


#: How much of a unit changed, from what systemd never sees to what needs its sockets closed.
Depth = Literal["comment", "settings", "service", "socket"]


@dataclass(frozen=True)
class State:
    """What systemd holds of a unit that is loaded; `outdated`: it runs since before its file was written."""

    active: str = "inactive"
    needs_reload: bool = False
    outdated: bool = False


@dataclass(frozen=True)
class Step:
    """One line of the plan as people read it."""

    sign: Literal["+", "~", "-"]
    unit: str
    what: str


@dataclass(frozen=True)
class Plan:
    """What to do, in the order of the fields.

    `stop` comes before any write: a socket whose address changes on disk would lose its port at the next reload.
    `keep_time` are files whose change systemd never sees: they keep their time stamp, so that it asks for no reload.
    `down` are servers that a person took down: their sockets stay closed. `warm` are services to start at once.
    """

    stop: tuple[str, ...] = ()
    write: Mapping[str, str] = field(default_factory=dict)
    keep_time: frozenset[str] = frozenset()
    delete: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    unlink: tuple[str, ...] = ()
    reload: bool = False
    forget: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    down: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()

    @property
    def touched(self) -> set[str]:
        """The servers of which a unit changes, opens or closes."""
        written = self.write.keys() - self.keep_time
        units = (*self.stop, *written, *self.delete, *self.start, *self.restart)
        return {server for unit in units if (server := instance_of(unit))}

    @property
    def moved(self) -> set[str]:
        """The servers that close, open or restart; what else is touched goes on as it is."""
        units = (*self.stop, *self.delete, *self.start, *self.restart)
        return {server for unit in units if serves(unit) and (server := instance_of(unit))}

    @property
    def forgotten(self) -> set[str]:
        """The servers that go away."""
        gone = {server for unit in self.delete if (server := instance_of(unit))}
        return {server for server in gone if service_unit(server) in self.delete}

    @property
    def empty(self) -> bool:
        """Whether everything is as wanted."""
        return not (self.steps or self.write or self.link or self.unlink or self.reload)


def depth(old: str, new: str) -> Depth:
    """How deep the difference between two texts of one unit goes."""
    before, after = _material(old), _material(new)
    if before == after:
        return "comment"
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if changed <= {"X-Projctl", "Install"}:
        return "settings"
    if "Socket" in before or "Socket" in after:
        return "socket"
    return "service" if "Service" in changed else "settings"


def _material(text: str) -> unitfile.Sections:
    """The directives that matter: not where in its manifest the project stands."""
    sections = unitfile.parse(text)
    facts = [(key, value) for key, value in sections.get("X-Projctl", []) if key != "Manifest"]
    return {**sections, "X-Projctl": facts} if facts else sections


def compare(
    wanted: Mapping[str, str],
    installed: Mapping[str, str],
    states: Mapping[str, State],
    links: frozenset[str] = frozenset(),
    down: frozenset[str] = frozenset(),
    generated: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The plan that turns `installed` (our files only) into `wanted`, given what systemd has loaded.

    The servers in `down` are not opened; `generated` are units that are nowhere installed, and that the
    systemd generator gave systemd.
    """
    before = {**generated, **installed}
    new = sorted(wanted.keys() - before.keys())
    adopted = sorted(wanted.keys() & generated.keys() - installed.keys())
    gone = sorted(installed.keys() - wanted.keys())
    depths = {n: depth(before[n], wanted[n]) for n in wanted if n in before and before[n] != wanted[n]}
    closing = _to_close(new, gone, depths, wanted, before)
    enabled = {unit for unit, text in wanted.items() if is_enabled(text)}
    openers = {unit for unit in enabled if unit.endswith((".socket", ".timer"))}
    closed = {unit for unit in openers if instance_of(unit) in down}
    not_open = {unit for unit in openers - closed if states.get(unit, State()).active != "active"}
    stale = {unit for unit, s in states.items() if s.needs_reload and (unit in wanted or unit in gone)}
    reset = {unit for unit, how in depths.items() if unit.endswith(".timer") and how != "comment"}
    ending = {unit for unit in before if serves(unit) and instance_of(unit) in closing} | reset | set(gone)
    stop = [unit for unit in before if _runs(unit, states) and unit in ending]
    opening = {unit for unit in openers if unit in reset or (serves(unit) and instance_of(unit) in closing)}
    opening -= closed
    restart = _to_restart(depths, wanted, states, closing)
    warm = {unit for unit in wanted if is_always_warm(wanted[unit]) and instance_of(unit) not in down}
    warm = {unit for unit in warm if instance_of(unit) in closing or not _known(unit, states)}
    return Plan(
        stop=tuple(closing_order(stop)),
        write={unit: wanted[unit] for unit in sorted({*new, *adopted, *depths})},
        keep_time=frozenset(unit for unit, how in depths.items() if how == "comment"),
        delete=tuple(gone),
        link=tuple(sorted((enabled | ({TARGET} & wanted.keys())) - links)),
        unlink=tuple(sorted(links & (set(gone) | (wanted.keys() - enabled - {TARGET})))),
        reload=bool(stale) or any(unit in states for unit in gone) or _needs_reload(depths, states),
        forget=tuple(unit for unit in gone if states.get(unit, State()).active == "failed"),
        start=tuple(sorted(not_open | opening)),
        restart=tuple(restart),
        warm=tuple(sorted(warm)),
        steps=(
            *_steps(
                sorted([*new, *adopted]), depths, gone, not_open - opening, stale, opening, wanted, restart
            ),
            *(Step("~", unit, "starts, and stays up") for unit in sorted(warm)),
        ),
        superseded=tuple(sorted({opener_unit(name) for unit in adopted if (name := project_of(unit))})),
        down=tuple(sorted({server for unit in closed if (server := instance_of(unit))})),
    )


def _to_close(
    new: Collection[str],
    gone: Collection[str],
    depths: Mapping[str, Depth],
    wanted: Mapping[str, str],
    installed: Mapping[str, str],
) -> set[str]:
    """The servers that must close all of their sockets, and be stopped, before anything of them is written.

    One socket alone cannot change: the others would start the service meanwhile, which opens all of them; and
    a socket that is new cannot be opened for a service that runs. Nor may a connection start what stood behind
    the sockets before.
    """
    before = {server for unit in installed if (server := instance_of(unit))}
    after = {server for unit in wanted if (server := instance_of(unit))}
    shape = {
        server for unit in (*new, *gone) if serves(unit) and (server := instance_of(unit)) in before & after
    }
    sockets = {server for unit, how in depths.items() if how == "socket" and (server := instance_of(unit))}
    roles = {
        server
        for unit in depths
        if _role(installed[unit]) != _role(wanted[unit]) and (server := instance_of(unit))
    }
    return {server for server in shape | sockets | roles if server}


def _role(text: str) -> list[str]:
    return unitfile.values(unitfile.parse(text), "X-Projctl", "Role")


def is_enabled(text: str) -> bool:
    """Whether it starts at boot: sockets that are open while their project sleeps, timers, servers to be warm."""
    return bool(unitfile.values(unitfile.parse(text), "Install", "WantedBy"))


def is_always_warm(text: str) -> bool:
    """Whether it is the service of a server that runs all the time."""
    facts = unitfile.parse(text).get("X-Projctl", [])
    return ("Warm", "always") in facts and ("Role", "backend") not in facts


def _known(unit: str, states: Mapping[str, State]) -> bool:
    """Whether systemd runs the service, or has tried to and failed."""
    return states.get(unit, State()).active != "inactive"


def _runs(unit: str, states: Mapping[str, State]) -> bool:
    return states.get(unit, State()).active not in ("inactive", "failed")


def _needs_reload(depths: Mapping[str, Depth], states: Mapping[str, State]) -> bool:
    return any(how != "comment" and unit in states for unit, how in depths.items())


def _to_restart(
    depths: Mapping[str, Depth], wanted: Mapping[str, str], states: Mapping[str, State], closing: set[str]
) -> list[str]:
    """The services of running servers of which one changed, unless their sockets take them down anyway.

    Of a server behind a proxy it is the proxy: it takes its server along.
    """
    changed = {unit for unit, how in depths.items() if how == "service"}
    changed |= {unit for unit, state in states.items() if state.outdated and unit in wanted}
    servers = {server for unit in changed if (server := instance_of(unit)) and server not in closing}
    running = (unit for unit in wanted if unit.endswith(".service") and _runs(unit, states))
    return sorted(
        {service_unit(server) for unit in running if (server := instance_of(unit)) in servers and server}
    )


def _steps(
    new: list[str],
    depths: Mapping[str, Depth],
    gone: list[str],
    not_open: set[str],
    stale: set[str],
    opening: set[str],
    wanted: Mapping[str, str],
    restart: list[str],
) -> list[Step]:
    words = {
        "settings": "settings change, nothing restarts",
        "socket": "closes and opens again",
        "service": "change",
    }
    found = [Step("+", unit, _address(wanted[unit])) for unit in new]
    shown: dict[str, Depth] = {unit: how for unit, how in depths.items() if how != "comment"}
    for unit in opening - set(new):
        shown[unit] = "socket"
    for unit in restart:
        shown.setdefault(unit, "service")
    for unit, how in sorted(shown.items()):
        if unit in wanted:
            what = "restarts" if unit in restart else words[how]
            found.append(Step("~", unit, ", ".join(filter(None, (what, _address(wanted[unit]))))))
    found += [Step("-", unit, "stops and is removed") for unit in gone]
    found += [Step("~", unit, "changed on disk since systemd read it") for unit in sorted(stale - set(gone))]
    return found + [Step("~", unit, "opens") for unit in sorted(not_open - set(new))]


def _address(text: str) -> str:
    streams = unitfile.values(unitfile.parse(text), "Socket", "ListenStream")
    return f"listens on {', '.join(streams)}" if streams else ""
