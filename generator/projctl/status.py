"""What each installed project is doing, from three answers of systemd and one of the agent."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from projctl import agentlink, installed, systemctl, unitfile
from projctl.diagnostics import one_line, printable
from projctl.names import backend_unit, instance_of, service_unit, socket_of

if TYPE_CHECKING:
    from projctl.scope import Scope

_PROPERTIES = (
    "Id", "FreezerState", "Result", "MainPID", "MemoryCurrent", "CPUUsageNSec", "ActiveEnterTimestampMonotonic",
    "ExecMainStatus", "StatusText",
)  # fmt: skip
_DOWN = ("inactive", "dead")

Shown = Mapping[str, str]


@dataclass(frozen=True)
class SocketStatus:
    """A listening address; `port` is None for a Unix socket."""

    name: str
    address: str
    port: int | None


@dataclass(frozen=True)
class ProjectStatus:
    """One project now. Unknown values are None; times in seconds, memory in bytes; `unit` is the server's unit."""

    name: str
    state: str
    sockets: tuple[SocketStatus, ...]
    pid: int | None
    memory_bytes: int | None
    cpu_seconds: float | None
    uptime_seconds: float | None
    idle_seconds: float | None
    starts: int | None
    unit: str
    reason: str | None = None
    override: bool = False
    activity: str | None = None
    would_stop_at: float | None = None
    hold: dict[str, Any] | None = None
    left_over: tuple[str, ...] = ()
    signals: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `list --json` prints."""
        return asdict(self) | {"sockets": [asdict(socket) for socket in self.sockets]}


def collect(scope: Scope, names: Collection[str] = ()) -> list[ProjectStatus]:
    """The status of the named projects, or of all, by name."""
    there = installed.Installed() if scope.remote else installed.read(scope)
    listed = systemctl.units(scope, "projctl-*")
    known = {name for unit in (*listed, *there.files) if (name := instance_of(unit))}
    wanted = {name for name in known if not names or name in names or name.partition("@")[0] in names}
    busy = [unit for unit, state in listed.items() if _is_busy(unit, state) and instance_of(unit) in wanted]
    shown = {unit["Id"]: unit for unit in systemctl.show(scope, busy, _PROPERTIES)}
    sockets = _sockets(there, systemctl.open_sockets(scope))
    agent = agentlink.status(scope, next(iter(names)) if len(names) == 1 else None)
    moved = set() if scope.remote else installed.overridden(scope)
    down = frozenset[str]() if scope.remote else installed.taken_down(scope)
    now = None if scope.remote else time.clock_gettime(time.CLOCK_MONOTONIC)
    units: dict[str, dict[str, tuple[str, str]]] = {}
    for unit, state in listed.items():
        units.setdefault(instance_of(unit) or "", {})[unit] = state
    found = (
        _project(name, units.get(name, {}), shown, sockets.get(name, ()), agent.get(name, {}), now)
        for name in sorted(wanted, key=_by_number)
    )
    return [
        replace(
            project,
            override=project.name in moved,
            reason=f"until: projctl up {project.name}" if project.name in down else project.reason,
        )
        for project in found
    ]


def _by_number(server: str) -> tuple[str, int]:
    """Sorts `shop@2` before `shop@10`."""
    project, _, number = server.partition("@")
    return project, int(number or 0)


def _is_busy(unit: str, state: tuple[str, str]) -> bool:
    return unit.endswith(".service") and state != _DOWN


def _sockets(there: installed.Installed, listening: Mapping[str, list[str]]) -> dict[str, list[SocketStatus]]:
    """Every socket by project: where it listens, else where its unit file says it would."""
    found: dict[str, list[SocketStatus]] = {}
    for unit in sorted({unit for unit in (*there.files, *listening) if unit.endswith(".socket")}):
        if server := instance_of(unit):
            sections = unitfile.parse(there.files.get(unit, ""))
            name = (unitfile.values(sections, "Socket", "FileDescriptorName") or [socket_of(unit)])[-1]
            planned = [
                text.replace("%%", "%") for text in unitfile.values(sections, "Socket", "ListenStream")
            ]
            for address in listening.get(unit, planned):
                found.setdefault(server, []).append(SocketStatus(name, address, _port(address)))
    return found


def _port(address: str) -> int | None:
    """The TCP port of a stream; None for all other kinds, which an administrator may have added."""
    found = re.fullmatch(r"(?:[0-9.]+:|\[[^]/@]*\]:)?([0-9]{1,5})", address)
    return int(found[1]) if found else None


def _project(
    name: str,
    units: Mapping[str, tuple[str, str]],
    shown: Mapping[str, Shown],
    sockets: Collection[SocketStatus],
    agent: Mapping[str, Any],
    now: float | None,
) -> ProjectStatus:
    front, backend = service_unit(name), backend_unit(name)
    unit = backend if backend in units else front
    server = shown.get(unit, {})
    state = state_of(units, front, unit, shown)
    if state == "asleep" and agent.get("state") == "failed":
        state = "failed"  # the agent lets it wait for its next start
    # The agent's way to freeze is none that systemd knows of.
    state = "frozen" if state == "running" and agent.get("state") == "frozen" else state
    up = state in ("running", "frozen", "starting", "stopping")
    entered = _integer(server.get("ActiveEnterTimestampMonotonic"))
    memory = _integer(server.get("MemoryCurrent")) if up else None
    return ProjectStatus(
        name=name,
        state=state,
        sockets=tuple(sockets),
        pid=(_integer(server.get("MainPID")) or None) if up else None,
        memory_bytes=memory if memory is not None or not up else agent.get("memory_bytes"),
        cpu_seconds=_seconds(server.get("CPUUsageNSec")) if up else None,
        uptime_seconds=round(now - entered / 1e6, 3)
        if state in ("running", "frozen") and entered and now
        else None,
        idle_seconds=agent.get("idle_seconds") if up else None,
        starts=agent.get("starts"),
        unit=unit,
        activity=agent.get("activity") if up else None,
        would_stop_at=agent.get("would_stop_at") if up else None,
        hold=agent.get("hold"),
        left_over=tuple(map(printable, agent.get("left_over") or ())),
        signals=agent.get("signals") if up else None,
        # The words may be a server's own, by its answer to a probe or sd_notify(3).
        reason=one_line(agent.get("reason") or "") or _reason(server, state),
    )


def state_of(
    units: Mapping[str, tuple[str, str]], front: str, server: str, shown: Mapping[str, Shown]
) -> str:
    """asleep, starting, running, frozen, stopping, failed, or down: from the units of one project.

    `units` are (ActiveState, SubState) by unit, `front` is the service that the sockets start, `server` the
    one that serves (the same, but behind a proxy).
    """
    active, sub = units.get(server, _DOWN)
    sockets = [state for unit, (state, _) in units.items() if unit.endswith(".socket")]
    if any(shown.get(unit, {}).get("FreezerState") in ("frozen", "freezing") for unit in (front, server)):
        return "frozen"
    if sub == "auto-restart" or "failed" in sockets:
        return "failed"
    if active in ("activating", "reloading", "active", "deactivating"):
        starting = units.get(front, _DOWN)[0] == "activating"
        words = {"activating": "starting", "deactivating": "stopping"}
        return words.get(active, "starting" if starting else "running")
    if "active" not in sockets:
        return "down"
    return "failed" if active == "failed" and not _capped(shown.get(server, {})) else "asleep"


def _capped(server: Shown) -> bool:
    """Whether the server was up and systemd ended it for its time, as max_runtime does."""
    return server.get("Result") == "timeout" and bool(_integer(server.get("ActiveEnterTimestampMonotonic")))


def _reason(server: Shown, state: str) -> str | None:
    """Why it failed, as systemd and our readiness probe have it."""
    if state != "failed":
        return None
    said = server.get("StatusText") or f"exit status {server.get('ExecMainStatus', '?')}"
    return f"{server.get('Result', 'unknown')}: {said}"


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) < (1 << 64) - 1 else None


def _seconds(nanoseconds: str | None) -> float | None:
    value = _integer(nanoseconds)
    return None if value is None else round(value / 1e9, 3)
