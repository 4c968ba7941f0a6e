"""What a run leaves behind: processes in its control group, and such as still hold its sockets."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent import activity, cgroup, messages
from projctl_agent.bus import SERVICE, UNIT, BusError
from projctl_agent.names import instance_of_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from projctl_agent.bus import Bus
    from projctl_agent.orders import Orders
    from projctl_agent.watch import Watch

#: Seconds after an end in which systemd may still clear up; the time that a backend may take to follow its proxy.
_GRACE, _PATIENCE = 1.0, 120.0
#: Seconds by which times of starts are uncertain: the kernel tells them in hundredths.
_BLUR = 0.02
_ROOT = frozenset({"", "0", "root"})


class Process(NamedTuple):
    """One process: its name, and when it started (monotonic), by which it is known again."""

    pid: int
    name: str
    started: float

    @property
    def label(self) -> str:
        """How people see it."""
        return f"{self.name} ({self.pid})"

    @property
    def lives(self) -> bool:
        """Whether it is still there."""
        found = look_up(self.pid)
        return found is not None and abs(found.started - self.started) < 1.0


def look_up(pid: int) -> Process | None:
    """The process of this number now, see proc_pid_stat(5); None where there is none, or a dead one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        head, _, rest = text.rpartition(")")
        state, *fields = rest.split()
        since_boot = int(fields[18]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    name = "".join(c if c.isprintable() else "?" for c in head.partition("(")[2])
    return None if state in "ZXx" else Process(pid, name, since_boot - suspended)


def _older(pids: Iterable[int], moment: float) -> list[Process]:
    """Those that started before then: what a next run has started since is none of the last one."""
    found = (look_up(pid) for pid in pids)
    return [process for process in found if process and process.started + _BLUR < moment]


@dataclass(frozen=True, slots=True)
class _End:
    watch: Watch
    moment: float


class Remains:
    """Looks after each end, once for all that ended meanwhile; remembers what was found by instance."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._ends: list[_End] = []
        self._task: asyncio.Task[None] | None = None
        self._found: dict[str, tuple[Process, ...]] = {}

    def ended(self, bus: Bus, orders: Orders, watch: Watch) -> None:
        """Look at what this run left, in a while."""
        self._ends.append(_End(watch, time.monotonic()))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(bus, orders))

    def disconnect(self) -> None:
        """Look no more."""
        if self._task:
            self._task.cancel()
        self._ends.clear()

    def of(self, instance: str) -> list[str]:
        """What is still there of what earlier runs of the instance left."""
        living = tuple(process for process in self._found.pop(instance, ()) if process.lives)
        if living:
            self._found[instance] = living
        return [process.label for process in living]

    async def _work(self, bus: Bus, orders: Orders) -> None:
        while self._ends:
            await asyncio.sleep(_GRACE)
            ends, self._ends = self._ends, []
            for end in ends:
                try:
                    await self._look(bus, orders, end)
                except (BusError, OSError) as error:
                    self._report(f"cannot look for what {end.watch.settings.instance} left: {error}")

    async def _look(self, bus: Bus, orders: Orders, end: _End) -> None:
        watch, primary = end.watch, end.watch.settings.primary
        state, entered, user, dynamic = await bus.properties(
            (primary, UNIT, "ActiveState"),
            (primary, UNIT, "InactiveEnterTimestampMonotonic"),
            (primary, SERVICE, "User"),
            (primary, SERVICE, "DynamicUser"),
        )
        if state == "deactivating" and time.monotonic() - end.moment < _PATIENCE:
            self._ends.append(end)
            return
        moment = entered / 1e6 if entered and entered / 1e6 > watch.started else end.moment
        pids = set(cgroup.processes(cgroup.directory(watch.target.control_group)))
        # Without root's rights nobody leaves his control group; of a user's manager one may.
        if orders.direct or (user in _ROOT and not dynamic):
            pids |= await _holders(orders, watch, moment)
        if left := _older(pids, moment):
            self._tell(watch, left)

    def _tell(self, watch: Watch, left: list[Process]) -> None:
        wanted = watch.settings
        known = [process for process in self._found.get(wanted.instance, ()) if process.lives]
        new = sorted(process for process in left if process.pid not in {one.pid for one in known})
        self._found[wanted.instance] = (*known, *new)
        if new:
            labels = ", ".join(process.label for process in new)
            pids = " ".join(str(process.pid) for process in new)
            messages.leak(wanted.instance, wanted.primary, watch.invocation, labels, pids)


async def _holders(orders: Orders, watch: Watch, moment: float) -> set[int]:
    """Processes that hold the sockets; asked only where any is left that started while the run went on."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    if not any(process.started > watch.started - _GRACE for process in _older(pids, moment)):
        return set()
    found = await orders.holders(activity.listeners(watch.target))
    return {pid for pid in found if not _serves(pid)}


def _serves(pid: int) -> bool:
    """Whether it is in some server's control group: of instances behind one port each holds a socket of that port."""
    return any(instance_of_service(unit) for unit in cgroup.of(pid).split("/"))
