"""Hours in which projects are kept warm: targets that timers start, and the agent where a beginning was missed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from projctl_agent import messages
from projctl_agent.bus import TIMER, UNIT, insist
from projctl_agent.names import instance_of_warmth, timers, warm_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl_agent.bus import Bus
    from projctl_agent.orders import Orders

_NEVER = 2**64 - 1


class Warmth:
    """Follows the targets; no timer is looked at but when it, or the agent, begins."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._bus: Bus | None = None
        self._orders: Orders | None = None
        self._warm: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, bus: Bus, orders: Orders) -> None:
        """Follow from now on, and begin the hours that began while nobody was there. Raises BusError."""
        self._bus, self._orders = bus, orders
        found = await bus.list_units(["projctl-*.warm*.t*"], ["active"])
        units = [(row.name, named) for row in found if (named := instance_of_warmth(row.name))]
        self._warm = {instance for _, (instance, kind) in units if kind == "target"}
        for unit, (_, kind) in units:
            if kind == "timer":
                self.changed(unit, "active")

    def disconnect(self) -> None:
        """Leave everything as it is."""
        for task in self._tasks:
            task.cancel()
        self._bus = self._orders = None

    def is_warm(self, instance: str) -> bool:
        """Whether these are the instance's hours."""
        return instance in self._warm

    def changed(self, unit: str, state: str) -> str | None:
        """Take in the state of a unit; the instance whose hours have just begun or ended, if any."""
        named = instance_of_warmth(unit)
        if named is None:
            return None
        instance, kind = named
        if kind == "timer":
            if state == "active" and self._bus and self._orders and instance not in self._warm:
                task = asyncio.get_running_loop().create_task(self._begin(self._bus, self._orders, instance))
                self._tasks.add(task)
                task.add_done_callback(self._done)
            return None
        if (state == "active") == (instance in self._warm) or state not in {"active", "inactive"}:
            return None
        if state == "active":
            self._warm.add(instance)
            messages.warm(instance)
        else:
            self._warm.discard(instance)
        return instance

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot begin warm hours: {error}")

    async def _begin(self, bus: Bus, orders: Orders, instance: str) -> None:
        """Start the target where its end comes before its next beginning, and no timer has decided yet."""
        target = warm_target(instance)
        opposite = target.replace(".warm", ".cool", 1)
        asked = [
            *((timer, TIMER, "NextElapseUSecRealtime") for timer in timers(instance)),
            *((unit, UNIT, "ActiveState") for unit in (target, opposite)),
        ]
        beginning, end, *states = await insist(partial(bus.properties, *asked))
        if "active" not in states and 0 < (end or 0) < (beginning or _NEVER):
            await orders.start(target)
