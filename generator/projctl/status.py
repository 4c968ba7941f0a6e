"""What each installed project is doing, from one answer of systemd and one of the agent; pure but for `now`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from projctl.names import project_of
from projctl.systemctl import streams

#: The properties of units that a status is made of.
PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "FreezerState", "Result", "MainPID", "MemoryCurrent",
    "CPUUsageNSec", "ActiveEnterTimestampMonotonic", "InactiveEnterTimestampMonotonic", "Listen",
    "FileDescriptorName", "ExecMainStatus", "ExecMainCode", "NRestarts",
)  # fmt: skip

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

    def as_json(self) -> dict[str, Any]:
        """The object that `list --json` prints."""
        return asdict(self) | {"sockets": [asdict(socket) for socket in self.sockets]}


def gather(
    shown: list[dict[str, str]],
    names: set[str],
    agent: Mapping[str, Mapping[str, Any]],
    *,
    local: bool = True,
) -> list[ProjectStatus]:
    """The status of every project in `names` (installed) or in `shown` (loaded), by name."""
    units = {unit["Id"]: unit for unit in shown if unit.get("Id") and unit.get("LoadState") == "loaded"}
    known = names | {
        name for unit in units if (name := project_of(unit))
    }
    now = time.clock_gettime(time.CLOCK_MONOTONIC) if local else None
    return [_project(name, units, agent.get(name, {}), now) for name in sorted(known)]


def _project(
    name: str, units: Mapping[str, Shown], agent: Mapping[str, Any], now: float | None
) -> ProjectStatus:
    front = units.get(f"projctl-{name}.service", {})
    backend = units.get(f"projctl-{name}.backend.service")
    server = front if backend is None else backend
    sockets = [unit for key, unit in units.items() if key.endswith(".socket") and project_of(key) == name]
    state = state_of(front, sockets, backend)
    up = state in ("running", "frozen", "starting", "stopping")
    entered = _integer(server.get("ActiveEnterTimestampMonotonic"))
    memory = _integer(server.get("MemoryCurrent")) if up else None
    return ProjectStatus(
        name=name,
        state=state,
        sockets=tuple(address for unit in sockets for address in _addresses(unit)),
        pid=(_integer(server.get("MainPID")) or None) if up else None,
        memory_bytes=memory if memory is not None or not up else agent.get("memory_bytes"),
        cpu_seconds=_seconds(server.get("CPUUsageNSec")) if up else None,
        uptime_seconds=round(now - entered / 1e6, 3) if state == "running" and entered and now else None,
        idle_seconds=agent.get("idle_seconds") if up else None,
        starts=agent.get("starts"),
        unit=f"projctl-{name}.service" if backend is None else f"projctl-{name}.backend.service",
        reason=agent.get("reason") or _reason(server, state),
    )


def state_of(service: Shown, sockets: list[Shown], backend: Shown | None = None) -> str:
    """asleep, starting, running, frozen, stopping, failed, or down: from the units of one project."""
    server = service if backend is None else backend
    active, sub = server.get("ActiveState", "inactive"), server.get("SubState", "")
    if any(unit.get("FreezerState") in ("frozen", "freezing") for unit in (service, server)):
        return "frozen"
    if sub == "auto-restart" or any(unit.get("ActiveState") == "failed" for unit in sockets):
        return "failed"
    if active in ("activating", "reloading", "active", "deactivating"):
        starting = {"activating": "starting", "deactivating": "stopping"}
        return starting.get(active, "running" if service.get("ActiveState") != "activating" else "starting")
    if not any(unit.get("ActiveState") == "active" for unit in sockets):
        return "down"
    return "failed" if active == "failed" and not _capped(server) else "asleep"


def _capped(server: Shown) -> bool:
    """Whether the server was up and systemd ended it for its time, as max_runtime does."""
    return server.get("Result") == "timeout" and bool(_integer(server.get("ActiveEnterTimestampMonotonic")))


def _reason(server: Shown, state: str) -> str | None:
    result = server.get("Result", "success")
    return (
        f"systemd: {result}, exit status {server.get('ExecMainStatus', '?')}" if state == "failed" else None
    )


def _addresses(unit: Shown) -> list[SocketStatus]:
    found = []
    for address in streams(unit):
        port = None if address.startswith("/") else int(address.rpartition(":")[2])
        found.append(SocketStatus(unit.get("FileDescriptorName") or "http", address, port))
    return found


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) < (1 << 64) - 1 else None


def _seconds(nanoseconds: str | None) -> float | None:
    value = _integer(nanoseconds)
    return None if value is None else round(value / 1e9, 3)
