"""Brings back what failed: opens sockets that systemd gave up, lets servers wait that fail again and again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from projctl_agent import messages
from projctl_agent.bus import SERVICE, SOCKET, UNIT, BusError, UnansweredError, insist
from projctl_agent.names import instance_of_service, instance_of_socket, pause_unit
from projctl_agent.untaken import MANY, Untaken

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from projctl_agent.bus import Bus
    from projctl_agent.orders import Orders

#: Results of sockets that failed because of their service, not because they could not listen.
_GIVEN_UP = frozenset({"trigger-limit-hit", "service-start-limit-hit"})
#: Seconds: the longest wait, and how long a server must be up to count as well.
_LONGEST, _WELL = 300.0, 10.0
#: How often systemd is asked to end a pause, while it gives no answer.
_TRIES = 10
#: Seconds after the end of a pause by somebody in which there is no other: his own order is about to come.
_TURN = 2.0


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
        self._told: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._untaken = Untaken()
        self._counting: set[str] = set()
        self._held: set[str] = set()
        self._due: dict[str, float] = {}
        self._free: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._looks: set[asyncio.Task[None]] = set()

    async def connect(self, bus: Bus, orders: Orders) -> None:
        """Follow from now on: take up what failed unseen, end the pauses of an earlier agent. Raises BusError."""
        self._bus, self._orders = bus, orders
        await self.take_up(bus)
        await self._take_up_counts(bus)
        for row in await bus.list_units([pause_unit("projctl-*.service")], ["activating"]):
            try:
                await bus.stop_unit(row.name)
            except BusError as error:
                self._report(f"cannot end {row.name}: {error}")

    async def take_up(self, bus: Bus) -> None:
        """See to the sockets that have failed by now. Raises BusError."""
        for row in await bus.list_units(["projctl-*.socket"], ["failed"]):
            self.failed(row.name)

    async def _take_up_counts(self, bus: Bus) -> None:
        """What failed before, unseen or seen by an earlier agent, is forgotten once it is well, too."""
        rows = await bus.list_units(["projctl-*.service"], ["active", "activating", "reloading"])
        services = [row.name for row in rows if instance_of_service(row.name)]
        counts = await bus.properties(*((service, SERVICE, "NRestarts") for service in services))
        for service, restarts in zip(services, counts, strict=True):
            if restarts:
                self._failures[service] = max(restarts, self._failures[service])
                self.started(_instance(service))

    def disconnect(self) -> None:
        """Leave everything as it is."""
        for task in self._tasks.values():
            task.cancel()
        for look in self._looks:
            look.cancel()
        self._counting.clear()
        self._bus = self._orders = None

    def failed(self, unit: str, invocation: str = "") -> None:
        """A socket has failed, or a service waits for its next start after a failure of that run.

        Of the latter systemd tells more than once, also when the wait is over.
        """
        if invocation:
            if self._failed.get(unit) == invocation:
                return
            self._failed[unit] = invocation
        self._mend(unit, self._open_again if instance_of_socket(unit) else self._let_wait)

    def ended(self, service: str, invocation: str) -> None:
        """That run of the service is over."""
        # Looks that run into each other would see the same twice.
        if self._bus and service not in self._due and service not in self._counting:
            self._counting.add(service)
            self._look(self._count_untaken(self._bus, service, invocation))

    def moved_on(self, unit: str) -> None:
        """The unit was opened, started or stopped by somebody else: there is nothing to wait for any more."""
        # Who is held up may be told of a last run that began before that, and is started again whatever happens.
        if unit not in self._held:
            self._cancel(unit)

    def let_go(self, service: str) -> None:
        """Somebody has ended the pause of the service."""
        self._cancel(service)

    def closed(self, socket: str) -> None:
        """A socket was closed by somebody: what waited there is gone. One that wakes nobody closes with each run."""
        for service in [unit for unit in self._held if f"projctl-{_instance(unit)}.socket" == socket]:
            self._cancel(service)

    def started(self, instance: str) -> None:
        """A server runs: once it has for a while, it is well."""
        if self._units_of(instance):
            asyncio.get_running_loop().call_later(_WELL, self._look_whether_well, instance)

    def ended_well(self, instance: str) -> None:
        """A run ended because nobody used it: what came before it is forgotten."""
        for unit in self._units_of(instance):
            self._forget(unit)

    def failures(self, unit: str) -> int:
        """How often it failed since it was well."""
        return self._told.get(unit) or self._failures[unit]

    def is_untaken(self, unit: str) -> bool:
        """Whether what is wrong with it is that its runs take no connection."""
        return self._untaken.count(unit) >= MANY

    def due(self, unit: str) -> float | None:
        """When it is opened or started again, in monotonic seconds; None where that is not up to the agent."""
        return self._due.get(unit)

    def waiting(self) -> dict[str, str]:
        """The services that the agent lets wait, by instance."""
        named = ((instance_of_service(unit), unit) for unit in self._due)
        return {found[0]: unit for found, unit in named if found}

    def _units_of(self, instance: str) -> list[str]:
        return [unit for unit in self._failures if _instance(unit) == instance]

    def _forget(self, unit: str) -> None:
        del self._failures[unit]
        self._told.pop(unit, None)
        self._free.pop(unit, None)
        self._failed.pop(unit, None)
        self._untaken.forget(unit)

    def _mend(self, unit: str, heal: Callable[[Bus, Orders, str], Coroutine[None, None, None]]) -> None:
        if unit in self._tasks or not self._bus or not self._orders:
            return
        if instance_of_service(unit) and time.monotonic() < self._free.get(unit, 0.0):
            return
        task = asyncio.get_running_loop().create_task(heal(self._bus, self._orders, unit))
        self._tasks[unit] = task
        task.add_done_callback(partial(self._done, unit))

    def _look(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    def _cancel(self, unit: str) -> None:
        if unit in self._due:
            self._tasks[unit].cancel()
            self._free[unit] = time.monotonic() + _TURN

    def _done(self, unit: str, task: asyncio.Task[None]) -> None:
        self._looks.discard(task)
        if self._tasks.get(unit) is task:
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
        ask = partial(insist, partial(bus.properties, (unit, UNIT, "ActiveState"), (unit, SOCKET, "Result")))
        while True:
            state, result = await ask()
            if state != "failed" or result not in _GIVEN_UP:
                return
            self._failures[unit] += 1
            await self._wait(unit)
            state, _ = await ask()
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

        systemd before 254 starts it again every second, and lets nobody change that at run time. Later ones wait for
        no restart once somebody wants a start, as a proxy that connections start wants that of its server.
        """
        restarts, steps = await insist(
            partial(bus.properties, (unit, SERVICE, "NRestarts"), (unit, SERVICE, "RestartSteps"))
        )
        overtaken = steps is not None and _is_backend(unit)
        self._told[unit] = (restarts or 0) + 1
        self._failures[unit] = self._failures[unit] + 1 if overtaken else self._told[unit]
        self.started(_instance(unit))  # as it may have been while systemd was asked
        if overtaken:
            await self._hold(bus, orders, unit)
        elif steps is None and self._failures[unit] > 1:
            await self._pause(bus, orders, unit)

    async def _count_untaken(self, bus: Bus, unit: str, invocation: str) -> None:
        """Hold a service up that ends again and again and leaves what it was started for where it is."""
        try:
            count = await self._untaken.ended(bus, unit)
        except (BusError, OSError, ValueError):
            return  # the next end tells
        finally:
            self._counting.discard(unit)
        if self._failed.get(unit) == invocation:
            self._untaken.forget(unit)  # it has failed, and systemd itself starts it again
        elif count >= MANY:
            self._mend(unit, self._hold_up)
        elif not count:
            del self._failures[unit]

    async def _hold_up(self, bus: Bus, orders: Orders, unit: str) -> None:
        """Put a pause before the next start of a service that connections start, which no failure delays."""
        count = self._told[unit] = self._untaken.count(unit)
        self._failures[unit] += 1
        self.started(_instance(unit))
        if await self._hold(bus, orders, unit):
            messages.held_up(_instance(unit), unit, count)

    async def _hold(self, bus: Bus, orders: Orders, unit: str) -> bool:
        self._held.add(unit)
        try:
            return await self._pause(bus, orders, unit)
        finally:
            self._held.discard(unit)

    async def _pause(self, bus: Bus, orders: Orders, unit: str) -> bool:
        """A start waits for the start of units that are ordered before it, and the pause is one that takes its time.

        Whether it came about.
        """
        pause = pause_unit(unit)
        try:
            await orders.start(pause)
        except BusError as error:
            self._report(f"cannot hold up {unit}: {error}")
            await asyncio.sleep(wait(self._failures[unit]))  # it would be said at each failure
            return False
        try:
            await self._wait(unit)
        finally:
            # What fails from now on is another failure; this one is kept until it is done.
            self._held.discard(unit)
            self._looks.add(self._tasks.pop(unit))
            await _end(bus, pause)
        return True

    def _look_whether_well(self, instance: str) -> None:
        if self._bus:
            self._look(self._forget_if_well(self._bus, instance))

    async def _forget_if_well(self, bus: Bus, instance: str) -> None:
        try:
            await self._forget_what_was(bus, instance)
        except UnansweredError:
            self.started(instance)

    async def _forget_what_was(self, bus: Bus, instance: str) -> None:
        service = f"projctl-{instance}.service"
        state, entered = await bus.properties(
            (service, UNIT, "ActiveState"), (service, UNIT, "ActiveEnterTimestampMonotonic")
        )
        if state != "active" or time.monotonic() - (entered or 0) / 1e6 < _WELL:
            return
        for unit in self._units_of(instance):
            try:
                if instance_of_service(unit):
                    # systemd's count of restarts, by which its own pauses grow, begins anew.
                    await bus.reset_failed(unit)
            except UnansweredError:
                raise
            except BusError as error:  # one that has gone has no count
                self._report(f"cannot forget the failures of {unit}: {error}")
            self._cancel(unit)
            self._forget(unit)


async def _end(bus: Bus, pause: str) -> None:
    """End a pause; a new connection ends those of the one before."""
    for _ in range(_TRIES):
        try:
            return await bus.stop_unit(pause)
        except UnansweredError:
            await asyncio.sleep(1.0)
        except BusError:  # it is gone already
            return None
    return None


def _is_backend(unit: str) -> bool:
    return (instance_of_service(unit) or ("", False))[1]


def _instance(unit: str) -> str:
    named = instance_of_service(unit)
    return named[0] if named else instance_of_socket(unit) or ""
