"""What a run used, as last seen: CPU, memory, bytes of its sockets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent import cgroup
from projctl_agent.bus import SERVICE, SOCKET, UNIT
from projctl_agent.cgroup import Figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl_agent.bus import Bus

#: Seconds between two readings of a run that goes on: each costs a few files, or a look at each process.
_FRESH = 10.0
#: What systemd says where a unit has no figure.
NONE = 2**64 - 1


class Bytes(NamedTuple):
    """What went in and out through sockets."""

    received: int
    sent: int


class Usage:
    """One run's. `base` is what its sockets had counted when it began; None where that is not known."""

    def __init__(self, control_group: str, base: Bytes | None) -> None:
        self._control_group = control_group
        self._base = base
        self._seen = Figures(None, None, None)
        self._taken = -_FRESH

    @property
    def figures(self) -> Figures:
        """What is known by now."""
        return self._seen

    def look(self, *, pressing: bool = False) -> None:
        """Read the control group, not too often unless it is pressing; what it does not tell stays as it was."""
        now = time.monotonic()
        if pressing or now - self._taken >= _FRESH:
            self._taken = now
            self._merge(cgroup.figures(self._control_group))

    def look_at_end(self) -> None:
        """As look, of a server that is ending: what memory it still has says nothing of the run."""
        self._merge(cgroup.figures(self._control_group)._replace(memory_bytes=None))

    async def conclude(self, bus: Bus, primary: str) -> None:
        """Take what systemd still knows of a server that has just ended. Raises BusError."""
        cpu, peak = await bus.properties((primary, SERVICE, "CPUUsageNSec"), (primary, SERVICE, "MemoryPeak"))
        seconds = None if cpu in (None, NONE) else cpu / 1e9
        self._merge(Figures(seconds, None, None if peak in (None, NONE) else peak))

    def _merge(self, new: Figures) -> None:
        known = {name: value for name, value in new._asdict().items() if value is not None}
        self._seen = self._seen._replace(**known)

    def fields(self, counters: Bytes | None) -> dict[str, object]:
        """The fields of a journal entry, given what the sockets have counted by now."""
        cpu, moved = self._seen.cpu_seconds, difference(self._base, counters)
        return {
            "PROJCTL_CPU_SECONDS": None if cpu is None else f"{cpu:.6f}",
            "PROJCTL_MEMORY_BYTES": self._seen.memory_bytes,
            "PROJCTL_MEMORY_PEAK_BYTES": self._seen.memory_peak_bytes,
            "PROJCTL_BYTES_IN": moved and moved.received,
            "PROJCTL_BYTES_OUT": moved and moved.sent,
        }


def difference(base: Bytes | None, counters: Bytes | None) -> Bytes | None:
    """What moved since `base`; counters that are lower began anew, since the sockets were opened again."""
    if base is None or counters is None:
        return None
    if counters.received < base.received or counters.sent < base.sent:
        return counters
    return Bytes(counters.received - base.received, counters.sent - base.sent)


async def counters(bus: Bus, sockets: Sequence[str]) -> Bytes | None:
    """The bytes that these socket units have counted; None where one does not count. Raises BusError."""
    asked = [(unit, SOCKET, name) for name in ("IPIngressBytes", "IPEgressBytes") for unit in sockets]
    values = await bus.properties(*asked)
    if not values or any(value in (None, NONE) for value in values):
        return None
    half = len(sockets)
    return Bytes(sum(values[:half]), sum(values[half:]))


async def lost_counters(bus: Bus, sockets: Sequence[str]) -> list[str]:
    """Those of these socket units that are to count and have no counter."""
    asked = [(unit, SOCKET, name) for name in ("IPIngressBytes", "IPAccounting") for unit in sockets]
    values = await bus.properties(*asked)
    counted, wanted = values[: len(sockets)], values[len(sockets) :]
    rows = zip(sockets, counted, wanted, strict=True)
    return [unit for unit, value, is_wanted in rows if value == NONE and is_wanted is True]


async def first_base(bus: Bus, service: str, sockets: Sequence[str]) -> Bytes | None:
    """Zero where no run of the service has ended since its sockets were opened; None where one has."""
    asked = ((unit, UNIT, "ActiveEnterTimestampMonotonic") for unit in sockets)
    ended, *opened = await bus.properties((service, UNIT, "InactiveEnterTimestampMonotonic"), *asked)
    known = ended is not None and None not in opened
    return Bytes(0, 0) if known and all(ended <= moment for moment in opened) else None
