"""Wanted units against installed units → what to do, in order; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from projctl import unitfile
from projctl.names import TARGET, project_of

if TYPE_CHECKING:
    from collections.abc import Mapping


#: How much of a unit changed, from what systemd never sees to what needs its sockets closed.
Depth = Literal["comment", "settings", "service", "socket"]


@dataclass(frozen=True)
class State:
    """What systemd holds of a unit that is loaded."""

    active: str = "inactive"
    needs_reload: bool = False


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
) -> Plan:
    """The plan that turns `installed` (our files only) into `wanted`, given what systemd has loaded."""
    new = sorted(wanted.keys() - installed.keys())
    gone = sorted(installed.keys() - wanted.keys())
    depths = {
        n: depth(installed[n], wanted[n]) for n in wanted if n in installed and installed[n] != wanted[n]
    }
    closing = {unit for unit, how in depths.items() if how == "socket"}
    sockets = [unit for unit, text in wanted.items() if unit.endswith(".socket") and is_enabled(text)]
    not_open = {unit for unit in sockets if states.get(unit, State()).active != "active"}
    stale = {
        unit for unit, state in states.items() if state.needs_reload and (unit in wanted or unit in gone)
    }
    stop = [unit for unit in gone if _runs(unit, states)] + [unit for unit in closing if _runs(unit, states)]
    restart = _to_restart(depths, states, closing)
    enabled = frozenset(sockets) | (frozenset({TARGET}) if TARGET in wanted else frozenset())
    return Plan(
        # Sockets first: each takes its service along in one transaction, so that nothing triggers in between.
        stop=tuple(sorted(stop, key=lambda unit: (not unit.endswith(".socket"), unit))),
        write={unit: wanted[unit] for unit in sorted([*new, *depths])},
        keep_time=frozenset(unit for unit, how in depths.items() if how == "comment"),
        delete=tuple(gone),
        link=tuple(sorted(enabled - links)),
        unlink=tuple(sorted(links & set(gone))),
        reload=bool(stale) or any(unit in states for unit in gone) or _needs_reload(depths, states),
        forget=tuple(unit for unit in gone if states.get(unit, State()).active == "failed"),
        start=tuple(sorted(not_open | closing.intersection(sockets))),
        restart=tuple(restart),
        steps=tuple(_steps(new, depths, gone, not_open - closing, stale, wanted, restart)),
    )


def is_enabled(text: str) -> bool:
    """Whether the socket is open while its project sleeps; others open and close with the service."""
    return bool(unitfile.values(unitfile.parse(text), "Install", "WantedBy"))


def _runs(unit: str, states: Mapping[str, State]) -> bool:
    return states.get(unit, State()).active not in ("inactive", "failed")


def _needs_reload(depths: Mapping[str, Depth], states: Mapping[str, State]) -> bool:
    return any(how != "comment" and unit in states for unit, how in depths.items())


def _to_restart(depths: Mapping[str, Depth], states: Mapping[str, State], closing: set[str]) -> list[str]:
    """Running services whose [Service] changed, unless their socket takes them down anyway."""
    closed = {project_of(unit) for unit in closing}
    changed = [unit for unit, how in depths.items() if how == "service" and project_of(unit) not in closed]
    return sorted(unit for unit in changed if _runs(unit, states))


def _steps(
    new: list[str],
    depths: Mapping[str, Depth],
    gone: list[str],
    not_open: set[str],
    stale: set[str],
    wanted: Mapping[str, str],
    restart: list[str],
) -> list[Step]:
    words = {
        "settings": "settings change, nothing restarts",
        "socket": "closes and opens again",
        "service": "change",
    }
    found = [Step("+", unit, _address(wanted[unit])) for unit in new]
    for unit, how in sorted(depths.items()):
        if how != "comment":
            what = "restarts" if unit in restart else words[how]
            found.append(Step("~", unit, ", ".join(filter(None, (what, _address(wanted[unit]))))))
    found += [Step("-", unit, "stops and is removed") for unit in gone]
    found += [Step("~", unit, "changed on disk since systemd read it") for unit in sorted(stale - set(gone))]
    return found + [Step("~", unit, "opens") for unit in sorted(not_open - set(new))]


def _address(text: str) -> str:
    streams = unitfile.values(unitfile.parse(text), "Socket", "ListenStream")
    return f"listens on {', '.join(streams)}" if streams else ""
