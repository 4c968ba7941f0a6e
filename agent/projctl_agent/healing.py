"""Brings back what failed: opens sockets that systemd gave up, lets servers wait that fail again and again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

from projctl_agent import messages
from projctl_agent.bus import SERVICE, SOCKET, UNIT, BusError
from projctl_agent.names import instance_of_service, instance_of_socket, pause_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl_agent.bus import Bus
    from projctl_agent.orders import Orders

#: Results of sockets that failed because of their service, not because they could not listen.
_GIVEN_UP = frozenset({"trigger-limit-hit", "service-start-limit-hit"})
#: Seconds: the longest wait, and how long a server must be up to count as well.
_LONGEST, _WELL = 300.0, 10.0


def wait(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4, … up to five minutes."""
    return min(_LONGEST, 2.0 ** min(failures - 1, 9))


class Healing:
    """Follows units that fail. What systemd does by itself, which depends on its version, is left to it."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._bus: Bus | None = None
        self._orders: Orders | None = None
        self._failures: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._looks: set[asyncio.Task[None]] = set()

    async def connect(self, bus: Bus, orders: Orders) -> None:
        """Follow from now on: take up what failed unseen, end the pauses of an earlier agent. Raises BusError."""
        self._bus, self._orders = bus, orders
        for row in await bus.list_units(["projctl-*.socket"], ["failed"]):
            self.failed(row.name)
        for row in await bus.list_units([pause_unit("projctl-*.service")], ["activating"]):
            try:
                await bus.stop_unit(row.name)
            except BusError as error:
                self._report(f"cannot end {row.name}: {error}")

    def disconnect(self) -> None:
        """Leave everything as it is."""
        for task in self._tasks.values():
            task.cancel()
        for look in self._looks:
            look.cancel()
        self._bus = self._orders = None

    def failed(self, unit: str) -> None:
        """A socket has failed, or a service waits for its next start after a failure."""
        if unit in self._tasks or not self._bus or not self._orders:
            return
        heal = self._open_again if instance_of_socket(unit) else self._let_wait
        task = asyncio.get_running_loop().create_task(heal(self._bus, self._orders, unit))
        self._tasks[unit] = task
        task.add_done_callback(lambda done: self._done(unit, done))

    def moved_on(self, unit: str) -> None:
        """The unit was opened, started or stopped by somebody else: there is nothing to wait for any more."""
        if unit in self._due:
            self._tasks[unit].cancel()

    def started(self, instance: str) -> None:
        """A server runs: once it has for a while, it is well."""
        if self._units_of(instance):
            asyncio.get_running_loop().call_later(_WELL, self._look_whether_well, instance)

    def ended_well(self, instance: str) -> None:
        """A run ended because nobody used it: what came before it is forgotten."""
        for unit in self._units_of(instance):
            del self._failures[unit]

    def failures(self, unit: str) -> int:
        """How often it failed since it was well."""
        return self._failures[unit]

    def due(self, unit: str) -> float | None:
        """When it is opened or started again, in monotonic seconds; None where that is not up to the agent."""
        return self._due.get(unit)

    def waiting(self) -> dict[str, str]:
        """The services that the agent lets wait, by instance."""
        named = ((instance_of_service(unit), unit) for unit in self._due)
        return {found[0]: unit for found, unit in named if found}

    def _units_of(self, instance: str) -> list[str]:
        return [unit for unit in self._failures if _instance(unit) == instance]

    def _done(self, unit: str, task: asyncio.Task[None]) -> None:
        del self._tasks[unit]
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot mend {unit}: {error}")

    async def _wait(self, unit: str) -> None:
        seconds = wait(self._failures[unit])
        self._due[unit] = time.monotonic() + seconds
        try:
            await asyncio.sleep(seconds)
        finally:
            del self._due[unit]

    async def _open_again(self, bus: Bus, orders: Orders, unit: str) -> None:
        """Open a socket after a while, again and again until it is open or failed for another reason."""
        while True:
            state, result = await bus.properties((unit, UNIT, "ActiveState"), (unit, SOCKET, "Result"))
            if state != "failed" or result not in _GIVEN_UP:
                return
            self._failures[unit] += 1
            await self._wait(unit)
            (state,) = await bus.properties((unit, UNIT, "ActiveState"))
            if state != "failed":
                return
            try:
                await orders.start(unit)
            except BusError as error:
                self._report(f"cannot open {unit} again: {error}")
                continue
            messages.rearmed(_instance(unit), unit, result, self._failures[unit])
            # Should the order come to nothing, the next round sees that.
            await asyncio.sleep(1.0)

    async def _let_wait(self, bus: Bus, orders: Orders, unit: str) -> None:
        """Put a pause before the next start of a service, where systemd's own pauses do not grow.

        systemd before 254 starts it again every second, and lets nobody change that at run time. But a start waits for
        the start of units that are ordered before it, and the pause is one that takes its time.
        """
        restarts, steps = await bus.properties((unit, SERVICE, "NRestarts"), (unit, SERVICE, "RestartSteps"))
        self._failures[unit] = (restarts or 0) + 1
        self.started(_instance(unit))  # as it may have been while systemd was asked
        if steps is not None or self._failures[unit] < 2:
            return
        pause = pause_unit(unit)
        await orders.start(pause)
        try:
            await self._wait(unit)
        finally:
            with contextlib.suppress(BusError):  # it is gone already, or the connection is
                await bus.stop_unit(pause)

    def _look_whether_well(self, instance: str) -> None:
        if self._bus:
            task = asyncio.get_running_loop().create_task(self._forget_if_well(self._bus, instance))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _forget_if_well(self, bus: Bus, instance: str) -> None:
        service = f"projctl-{instance}.service"
        state, entered = await bus.properties(
            (service, UNIT, "ActiveState"), (service, UNIT, "ActiveEnterTimestampMonotonic")
        )
        if state != "active" or time.monotonic() - entered / 1e6 < _WELL:
            return
        for unit in self._units_of(instance):
            del self._failures[unit]
            if instance_of_service(unit):
                # systemd's count of restarts, by which its own pauses grow, begins anew.
                await bus.reset_failed(unit)


def _instance(unit: str) -> str:
    named = instance_of_service(unit)
    return named[0] if named else instance_of_socket(unit) or ""
