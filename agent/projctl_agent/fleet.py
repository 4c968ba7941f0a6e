"""All projects that run: a watch for each, opened and closed as systemd reports changes."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from projctl_agent import failure, messages, pace, usage
from projctl_agent.bus import Bus, BusError, Listener, insist
from projctl_agent.counting import Counting
from projctl_agent.endings import Endings
from projctl_agent.healing import Healing
from projctl_agent.names import instance_of_service, instance_of_socket, paused_by
from projctl_agent.orders import Orders
from projctl_agent.remains import Remains
from projctl_agent.shared import Shared
from projctl_agent.survey import Survey, survey
from projctl_agent.turns import first_of
from projctl_agent.warmth import Warmth
from projctl_agent.watch import Glance, Watch, open_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from projctl_agent.failure import Failure
    from projctl_agent.idle import Track
    from projctl_agent.lifecycle import Ledger
    from projctl_agent.orders import Frost
    from projctl_agent.settings import Settings
    from projctl_agent.usage import Bytes

_RUNNING, _ENDED = frozenset({"active", "reloading"}), frozenset({"inactive", "failed"})
_UNTAKEN = "ended without taking its connection"
_SERVICES = "projctl-*.service"


class Fleet:
    """Follows one systemd over connections that may be cut.

    `changed` is told that the journal has news, `moved` of every change of a unit;
    `earlier` is what another agent knew of runs, by invocation; `held_until` tells of holds by instance.
    """

    def __init__(
        self,
        ledger: Callable[[], Ledger],
        changed: Callable[[], None],
        moved: Callable[[], None],
        report: Callable[[str], None],
        earlier: Mapping[str, Track],
        held_until: Callable[[str], float | None],
    ) -> None:
        self._ledger = ledger
        self._changed = changed
        self._moved = moved
        self._report = report
        self._held_until = held_until
        self._bus: Bus | None = None
        self._orders: Orders | None = None
        self._counting: Counting | None = None
        self.shared = Shared(company=self._company)
        self._reloads = 0
        self._watches: dict[str, tuple[Watch, asyncio.Task[None]]] = {}
        self._alive: set[str] = set()
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._earlier = dict(earlier)
        self._endings = Endings()
        self._concluding: set[asyncio.Task[None]] = set()
        self._seen: dict[str, Settings] = {}
        self._healing = Healing(report)
        self._warmth = Warmth(report)
        self.remains = Remains(report)

    async def connect(self, *, user: bool) -> Bus:
        """Connect and look for what runs. Raises BusError."""
        bus = await Bus.connect(Listener(self._unit_changed, self._reloaded), user=user)
        orders = Orders(bus if user else None, self._thawed)
        self._bus, self._orders, self._counting = bus, orders, Counting(orders)
        work = asyncio.ensure_future(self._take_up(bus, orders))
        try:
            await first_of(bus.lost(), work)
            if work.cancelled():
                raise BusError("cannot look for what runs: the connection to the bus was cut")
        except BusError:
            self.disconnect()  # what has begun by now would stay with this connection
            raise
        return bus

    async def _take_up(self, bus: Bus, orders: Orders) -> None:
        await self._warmth.connect(bus, orders)
        await self._open_all(bus)
        await self._healing.connect(bus, orders)
        await self.remains.connected(bus, orders)

    @property
    def connected(self) -> bool:
        """Whether systemd is there to be followed."""
        return self._bus is not None

    def disconnect(self) -> None:
        """Close all watches; what they know is kept for the same runs after a new connection."""
        self._close_all()
        self._healing.disconnect()
        self._warmth.disconnect()
        self.remains.disconnect()
        for task in self._opening.values():
            task.cancel()
        self._opening.clear()
        if self._orders:
            self._orders.close()
        if self._bus:
            self._bus.close()
        self._bus = self._orders = self._counting = None

    def watches(self) -> dict[str, Watch]:
        """The instances that run, by name."""
        return {watch.settings.instance: watch for watch, _ in self._watches.values()}

    def planned(self) -> float:
        """When one of them is looked at next, in monotonic seconds; infinite where none is.

        Those that are looked at now are soon done; only where there are no others it is the moment of theirs.
        """
        now, planned = time.monotonic(), [watch.planned for watch, _ in self._watches.values()]
        return min((each for each in planned if each > now), default=min(planned, default=math.inf))

    def _company(self, idle: float | None) -> int:
        idles = (watch.settings.idle_stop for watch, _ in self._watches.values())
        return len(self._watches) if pace.has_company(idle, idles) else 1

    def seen(self) -> list[Settings]:
        """The settings of the instances that run, or did since the last call."""
        seen, self._seen = self._seen, {}
        return list((seen | {name: watch.settings for name, watch in self.watches().items()}).values())

    async def installed(self) -> frozenset[str] | None:
        """The instances whose services have a unit file; None where systemd does not tell."""
        try:
            files = await self._bus.list_unit_files([_SERVICES]) if self._bus else None
        except BusError:
            return None
        return (
            None
            if files is None
            else frozenset(named[0] for name in files if (named := instance_of_service(name)))
        )

    async def counters(self, sockets: Mapping[str, Sequence[str]]) -> dict[str, Bytes]:
        """What the sockets of each instance have counted, asked for at once; without those that do not count."""
        if not self._bus:
            return {}
        try:
            found = await asyncio.gather(*(usage.counters(self._bus, units) for units in sockets.values()))
        except BusError:
            return {}
        return {instance: counted for instance, counted in zip(sockets, found, strict=True) if counted}

    def remind(self, instances: Iterable[str]) -> None:
        """Have those of them that run looked at anew: somebody holds them, or no more."""
        running = self.watches()
        for instance in instances:
            if watch := running.get(instance):
                watch.news.set()

    async def glance(self, instances: Iterable[str]) -> dict[str, Glance]:
        """A look at those of them that run; without those that systemd does not tell of."""
        running = self.watches()
        bus, asked = self._bus, [instance for instance in instances if instance in running]
        if bus is None:
            return {}
        found = await asyncio.gather(
            *(running[instance].glance(bus) for instance in asked), return_exceptions=True
        )
        return {
            instance: glance
            for instance, glance in zip(asked, found, strict=True)
            if isinstance(glance, Glance)
        }

    def tracks(self) -> dict[str, Track]:
        """What is known of the use of each run, by invocation."""
        current = {watch.invocation: watch.track or watch.earlier for watch, _ in self._watches.values()}
        return self._earlier | {invocation: track for invocation, track in current.items() if track}

    async def survey(self) -> Survey:
        """All instances that systemd has loaded; nothing without a connection."""
        if not self._bus:
            return Survey({}, {})
        try:
            found = survey(await self._bus.list_units([_SERVICES, "projctl-*.socket"], []))
        except BusError:
            return Survey({}, {})
        # What is held up may have begun before that, and be well.
        running = {name for name, state in found.states.items() if state == "running"}
        waiting = {name: unit for name, unit in self._healing.waiting().items() if name not in running}
        states = found.states | self._frozen(found) | dict.fromkeys(waiting, "failed")
        return Survey(states, found.failed | waiting)

    def _frozen(self, found: Survey) -> dict[str, str]:
        """What is frozen as far as it runs; systemd does not know of it."""
        named = [instance_of_service(service) for service in (self._orders.frozen if self._orders else ())]
        return {name[0]: "frozen" for name in named if name and found.states.get(name[0]) == "running"}

    def _thawed(self, service: str, frost: Frost, reason: str) -> None:
        if named := instance_of_service(service):
            seconds = time.monotonic() - frost.since
            messages.thawed(named[0], service, frost.invocation, reason, seconds)
        if found := self._watches.get(service):
            found[0].thawed(reason)

    async def failures(self, failed: Mapping[str, str]) -> dict[str, Failure]:
        """Why these instances failed, given their units; without those that systemd does not tell of."""
        if not self._bus:
            return {}
        try:
            found = await asyncio.gather(*(failure.read(self._bus, unit) for unit in failed.values()))
        except BusError:
            return {}
        return {
            instance: self._with_remedy(unit, why)
            for (instance, unit), why in zip(failed.items(), found, strict=True)
            if why
        }

    def _with_remedy(self, unit: str, why: Failure) -> Failure:
        """With what the agent is about to do about it."""
        due = self._healing.due(unit)
        if due is None:
            return why
        said = _UNTAKEN if self._healing.is_untaken(unit) else why.said
        return replace(why, said=said, restarts=self._healing.failures(unit) - 1, next_start=due)

    def _unit_changed(self, unit: str, changed: dict[str, Any]) -> None:
        self._moved()
        if self._orders:
            self._orders.unit_changed(unit, changed)
        named = instance_of_service(unit)
        if not named:
            self._socket_changed(unit, changed)
            if state := changed.get("ActiveState"):
                self._hours_changed(unit, state)
            return
        self._heal(unit, changed)
        state = changed.get("ActiveState")
        if state is None:
            return
        self._changed()
        if not named[1] and state in _RUNNING:
            self._open(unit)
        elif watch := None if named[1] else self._close(unit) or self._endings.take(unit):
            self._end(watch, state)
        elif self._bus and self._orders and (state in _ENDED or _waits(changed)):
            self.remains.ended_unwatched(self._bus, self._orders, unit)

    def _socket_changed(self, unit: str, changed: dict[str, Any]) -> None:
        state = changed.get("ActiveState")
        if state == "failed" and instance_of_socket(unit):
            self._healing.failed(unit)
        elif state:
            self._healing.moved_on(unit)
        if state == "inactive" and instance_of_socket(unit):
            self._healing.closed(unit)
        elif state and (service := paused_by(unit)) and self._is_over(unit, state):
            self._healing.let_go(service)

    def _hours_changed(self, unit: str, state: str) -> None:
        """Look anew at what runs when the hours begin or end in which it is kept warm."""
        instance = self._warmth.changed(unit, state)
        if instance and (found := self._watches.get(f"projctl-{instance}.service")):
            found[0].news.set()

    def _heal(self, service: str, changed: dict[str, Any]) -> None:
        state, waits = changed.get("ActiveState"), _waits(changed)
        invocation = bytes(changed.get("InvocationID") or b"").hex()
        if waits:
            self._healing.failed(service, invocation)
        elif state in {"active", "activating"} or (state == "inactive" and not changed.get("Job", [1])[0]):
            self._healing.moved_on(service)
        if state and not waits and self._is_over(service, state):
            self._healing.ended(service, invocation)

    def _is_over(self, service: str, state: str) -> bool:
        """Whether this is the end of a run: systemd tells of a unit that does not run more than once."""
        if state not in _ENDED:
            self._alive.add(service)
        elif service in self._alive:
            self._alive.discard(service)
            return True
        return False

    def _end(self, watch: Watch, state: str) -> None:
        if state == "deactivating":
            self._endings.stopping(watch)
        elif self._bus and self._orders:
            self.remains.ended(self._bus, self._orders, watch)
            if watch.told_stop:
                self._healing.ended_well(watch.settings.instance)
            task = asyncio.get_running_loop().create_task(self._endings.conclude(self._bus, watch))
            self._concluding.add(task)
            task.add_done_callback(self._concluded)

    def _concluded(self, task: asyncio.Task[None]) -> None:
        self._concluding.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot tell what a run used: {error}")

    def _reloaded(self) -> None:
        self._reloads += 1
        self._moved()
        self._changed()
        if self._bus:
            self._close_all()
            self._start("", insist(partial(self._look_anew, self._bus)))

    async def _look_anew(self, bus: Bus) -> None:
        await self._open_all(bus)
        await self._healing.take_up(bus)

    async def _open_all(self, bus: Bus) -> None:
        for row in await bus.list_units([_SERVICES], sorted(_RUNNING)):
            self._open(row.name)
        # Another reload ends this wait, and no opening.
        if opening := [task for service, task in self._opening.items() if service]:
            await asyncio.wait(opening)
        self._earlier.clear()

    def _close_all(self) -> None:
        for service in list(self._watches):
            if watch := self._close(service):
                self._endings.keep(watch)
                if track := watch.track or watch.earlier:
                    self._earlier[watch.invocation] = track

    def _open(self, service: str) -> None:
        if service not in self._watches and service not in self._opening:
            self._start(service, insist(partial(self._begin, service)))

    def _start(self, service: str, work: Any) -> None:  # noqa: ANN401
        task = asyncio.get_running_loop().create_task(work)
        if before := self._opening.get(service):
            before.cancel()
        self._opening[service] = task
        task.add_done_callback(lambda done: self._opened(service, done))

    def _opened(self, service: str, task: asyncio.Task[None]) -> None:
        if self._opening.get(service) is task:
            del self._opening[service]
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot watch {service or 'projects'}: {error}")

    async def _begin(self, service: str) -> None:
        assert self._bus  # noqa: S101  only called while connected
        assert self._orders  # noqa: S101
        reloads = self._reloads
        watch = await open_watch(self._bus, self._orders, service)
        if watch is None:
            return
        self._seen[watch.settings.instance] = watch.settings
        totals = self._ledger().projects.get(watch.settings.instance)
        watch.told_no_counters = bool(totals and totals.told_no_counters)
        watch.earlier = self._earlier.get(watch.invocation)
        watch.is_warm = self._warmth.is_warm
        watch.held_until = self._held_until
        watch.counting = self._counting
        watch.shared = self.shared
        watch.usage = await self._endings.begin(self._bus, watch)
        if reloads != self._reloads:
            # What was read stands for units that are no more as they were loaded then.
            self._endings.keep(watch)
            await self._begin(service)
            return
        self._healing.started(watch.settings.instance)
        follower = asyncio.get_running_loop().create_task(watch.follow(self._bus))
        self._watches[service] = (watch, follower)
        follower.add_done_callback(lambda done: self._followed(service, done))

    def _followed(self, service: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot watch {service} any longer: {error!r}")
            self._watches.pop(service, None)

    def _close(self, service: str) -> Watch | None:
        if opening := self._opening.pop(service, None):
            opening.cancel()
        watch, follower = self._watches.pop(service, (None, None))
        if follower:
            follower.cancel()
        return watch


def _waits(changed: dict[str, Any]) -> bool:
    """Whether it has ended and is to be started anew."""
    return "auto-restart" in str(changed.get("SubState"))
