"""What a run leaves behind: processes in its control group, and such as still hold its sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent import activity, cgroup, messages, statefile
from projctl_agent.bus import SERVICE, SLICE, UNIT, BusError, UnansweredError
from projctl_agent.clock import system
from projctl_agent.names import instance_of_service
from projctl_agent.statefile import count, instance, number, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from projctl_agent.bus import Bus
    from projctl_agent.orders import Orders
    from projctl_agent.watch import Watch

#: Seconds after an end in which systemd may still clear up; the time that a backend may take to follow its proxy.
_GRACE, _PATIENCE = 1.0, 120.0
#: Seconds by which times of starts are uncertain: the kernel tells them in hundredths.
_BLUR = 0.02
_ROOT = frozenset({"", "0", "root"})
#: Above all services of projects.
_SLICE = "projctl.slice"
_VERSION = 1


class Process(NamedTuple):
    """One process: its name, and the age of the machine when it started, by which it is known again."""

    pid: int
    name: str
    born: float

    @property
    def started(self) -> float:
        """When it started, in monotonic seconds; before that where the machine was suspended since."""
        return self.born - (time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic())

    @property
    def label(self) -> str:
        """How people see it."""
        return f"{self.name} ({self.pid})"

    @property
    def lives(self) -> bool:
        """Whether it is still there."""
        found = look_up(self.pid)
        return found is not None and found.born == self.born


def look_up(pid: int) -> Process | None:
    """The process of this number now, see proc_pid_stat(5); None where there is none, or a dead one."""
    try:
        head, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
        state, *fields = rest.split()
        born = int(fields[18]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    name = "".join(c if c.isprintable() else "?" for c in head.partition("(")[2])
    return None if state in "ZXx" else Process(pid, name, born)


def _older(pids: Iterable[int], moment: float) -> list[Process]:
    """Those that started before then: what a next run has started since is none of the last one."""
    found = (look_up(pid) for pid in pids)
    return [process for process in found if process and process.started + _BLUR < moment]


@dataclass(frozen=True, slots=True)
class _End:
    """A run of this unit that ended then (monotonic); `watch` is None for one that nobody watched."""

    unit: str
    moment: float
    watch: Watch | None = None


class Remains:
    """Looks after each end, once for all that ended meanwhile; remembers what was found by instance."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._ends: list[_End] = []
        self._task: asyncio.Task[None] | None = None
        self._path: Path | None = None
        self._found: dict[str, tuple[Process, ...]] = {}

    def load(self, path: Path) -> None:
        """Keep what is found in this file, and take over what another agent found: it was told already.

        Raises ValueError where it is damaged.
        """
        self._path = path
        content = statefile.read(path)
        self._found = parse(content) if content else {}

    def ended(self, bus: Bus, orders: Orders, watch: Watch) -> None:
        """Look at what this run left, in a while."""
        self._add(bus, orders, _End(watch.settings.primary, time.monotonic(), watch))

    def ended_unwatched(self, bus: Bus, orders: Orders, unit: str) -> None:
        """As ended, for a run of this service that nobody watched: by its control group alone."""
        if all(end.unit != unit for end in self._ends):
            self._add(bus, orders, _End(unit, time.monotonic()))

    async def connected(self, bus: Bus, orders: Orders) -> None:
        """Look for what runs left that ended while nobody followed systemd."""
        (group,) = await bus.properties((_SLICE, SLICE, "ControlGroup"))
        places: list[Path] = []
        with contextlib.suppress(OSError):  # a slice has gone meanwhile
            places += cgroup.directory(group).glob("*/projctl-*.service") if group else ()
        for place in places:
            if instance_of_service(place.name):
                self.ended_unwatched(bus, orders, place.name)

    def _add(self, bus: Bus, orders: Orders, end: _End) -> None:
        self._ends.append(end)
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
                except UnansweredError as error:
                    if time.monotonic() - end.moment < _PATIENCE:
                        self._ends.append(end)
                    else:
                        self._report(f"cannot look for what {end.unit} left: {error}")
                except (BusError, OSError) as error:
                    self._report(f"cannot look for what {end.unit} left: {error}")

    async def _look(self, bus: Bus, orders: Orders, end: _End) -> None:
        watch = end.watch
        state, identity, entered, user, dynamic = await bus.properties(
            (end.unit, UNIT, "ActiveState"),
            (end.unit, UNIT, "InvocationID"),
            (end.unit, UNIT, "InactiveEnterTimestampMonotonic"),
            (end.unit, SERVICE, "User"),
            (end.unit, SERVICE, "DynamicUser"),
        )
        if state == "deactivating" and time.monotonic() - end.moment < _PATIENCE:
            self._ends.append(end)
            return
        if watch is None:
            # What started before the unit was last inactive is none of a run that has begun since.
            pids, moment = set(await _grouped(bus, end.unit)), (entered or 0) / 1e6
            invocation = bytes(identity or b"").hex() if state in {"inactive", "failed"} else ""
        else:
            invocation = watch.invocation
            moment = entered / 1e6 if entered and entered / 1e6 > watch.started else end.moment
            pids = set(cgroup.processes(cgroup.directory(watch.target.control_group)))
            # Without root's rights nobody leaves his control group; of a user's manager one may.
            if orders.direct or (user in _ROOT and not dynamic):
                pids |= await _holders(orders, watch, moment)
        if left := _older(pids, moment):
            self._tell(end.unit, invocation or None, left)

    def _tell(self, unit: str, invocation: str | None, left: list[Process]) -> None:
        named = instance_of_service(unit)
        assert named  # noqa: S101  nothing else ends here
        known = [process for process in self._found.get(named[0], ()) if process.lives]
        new = sorted(process for process in left if process.pid not in {one.pid for one in known})
        self._found[named[0]] = (*known, *new)
        if new:
            labels = ", ".join(process.label for process in new)
            pids = " ".join(str(process.pid) for process in new)
            messages.leak(named[0], unit, invocation, labels, pids)
            self._save()

    def _save(self) -> None:
        if self._path:
            with contextlib.suppress(
                OSError
            ):  # the next agent tells it again, which is no more than a nuisance
                statefile.replace(self._path, dump(self._found), surely=False)


def dump(found: Mapping[str, Iterable[Process]]) -> str:
    """The text of what was found, by instance: those that live."""
    left = {name: [process for process in some if process.lives] for name, some in found.items()}
    return json.dumps({"version": _VERSION, "boot": system().boot, "left": left})


def parse(content: str) -> dict[str, tuple[Process, ...]]:
    """What was found in this boot, out of a text; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        left = {instance(name): tuple(_process(*one) for one in some) for name, some in data["left"].items()}
        return left if text(data["boot"]) == system().boot else {}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not what runs left: {error!r}") from None


def _process(pid: object, name: object, born: object) -> Process:
    return Process(count(pid), text(name), number(born))


async def _grouped(bus: Bus, unit: str) -> Iterable[int]:
    """The processes in the control group of a service, which systemd names only while the service runs."""
    (above,) = await bus.properties((unit, SERVICE, "Slice"))
    (group,) = await bus.properties((above or "", SLICE, "ControlGroup"))
    return cgroup.processes(cgroup.directory(f"{group}/{unit}")) if group else ()


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
