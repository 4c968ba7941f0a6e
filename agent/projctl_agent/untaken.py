"""Runs that end by themselves and leave the connections where they are that they were started for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl_agent import activity
from projctl_agent.names import instance_of_service
from projctl_agent.watch import read_settings

if TYPE_CHECKING:
    from projctl_agent.activity import Queue
    from projctl_agent.bus import Bus

#: So many in a row are no coincidence; systemd before 255 gives a socket up after ten starts within a second.
MANY = 12


@dataclass(slots=True)
class _Runs:
    """How many in a row have taken nothing, and what waits since the end of the last one."""

    queue: Queue
    count: int = 0


class Untaken:
    """Looks at what waits after each end: a server that serves one connection in each of its runs takes that one."""

    def __init__(self) -> None:
        self._runs: dict[str, _Runs] = {}

    async def ended(self, bus: Bus, service: str) -> int:
        """How many runs in a row have taken nothing, now that one is over.

        Raises BusError, OSError where the kernel does not tell, or ValueError for settings that cannot be read.
        """
        queue = await _queue(bus, service)
        known = self._runs.get(service)
        if queue is None or not queue.length:
            self.forget(service)
        elif known is None:
            self._runs[service] = _Runs(queue)
        else:
            known.count = known.count + 1 if queue.has_all_of(known.queue) else 0
            known.queue = queue
        return self.count(service)

    def count(self, service: str) -> int:
        """How many they were at the last look."""
        known = self._runs.get(service)
        return known.count if known else 0

    def forget(self, service: str) -> None:
        """What was before counts no more."""
        self._runs.pop(service, None)


async def _queue(bus: Bus, service: str) -> Queue | None:
    """What waits for this server; None where another one of the project, or none, is behind its sockets."""
    named = instance_of_service(service)
    wanted = await read_settings(bus, f"projctl-{named[0]}.service") if named else None
    if wanted is None or wanted.primary != service:
        return None
    return activity.queue(await activity.find_target(bus, wanted, ""))
