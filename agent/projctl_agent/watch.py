"""One running project: looks at it when it could next be idle, and stops it when it is."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent import activity, idle, messages, pace, settings, usage
from projctl_agent.bus import SERVICE, UNIT, Bus, BusError, UnansweredError
from projctl_agent.freezing import Freezing
from projctl_agent.idle import Decision, Observation, Policy, Track
from projctl_agent.shared import Shared
from projctl_agent.usage import Bytes, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl_agent.activity import Target
    from projctl_agent.counting import Counting
    from projctl_agent.orders import Orders
    from projctl_agent.settings import Settings

#: Seconds that a stop may take to begin before the project is looked at again.
_STOP_PATIENCE = 60.0
#: Seconds until a look that systemd did not answer is repeated.
_RETRY = 10.0


class Glance(NamedTuple):
    """What a look finds, and what it would decide."""

    policy: Policy
    now: Observation
    counters: Bytes | None
    track: Track
    decision: Decision


@dataclass(slots=True)
class Watch:
    """A server that runs. `track` is None until it was looked at; `decision` is the latest one.

    `earlier` is what was known of this run before the agent, or its connection to systemd, was away; `held_until`
    tells of holds, `is_warm` of its hours, and `news` that there is another hold, or other hours. `counting` has its
    sockets count before the first look, None once that was done. `planned` is when it looks next.
    """

    settings: Settings
    invocation: str
    started: float
    target: Target
    freezing: Freezing
    track: Track | None = None
    decision: Decision | None = None
    told_no_counters: bool = False
    told_stop: bool = False
    usage: Usage = field(default_factory=lambda: Usage("", None))
    earlier: Track | None = None
    counting: Counting | None = None
    shared: Shared = field(default_factory=Shared)
    planned: float = math.inf
    held_until: Callable[[str], float | None] = lambda _: None
    is_warm: Callable[[str], bool] = lambda _: False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def policy(self) -> Policy:
        """The policy of the settings in force."""
        wanted = self.settings
        return Policy(
            wanted.idle_stop,
            wanted.min_uptime,
            wanted.busy_share,
            wanted.hold_connections,
            self.held_until(wanted.instance),
            wanted.idle_freeze,
            self.shared.company(wanted.idle_stop),
        )

    def _latest(self) -> Observation | None:
        known = self.track or self.earlier
        return known.previous if known else None

    async def glance(self, bus: Bus) -> Glance:
        """A look for somebody who asks: nothing follows from it. Raises BusError."""
        now, counters = await asyncio.gather(
            activity.observe(bus, self.shared.table, self.target, self._latest()),
            usage.counters(bus, self.target.sockets),
        )
        before = self.track or self.earlier or idle.begin(self.started, now)
        track, decision = idle.look(self.policy, before, now)
        if self.is_warm(self.settings.instance):
            decision = _decide_warm(self.started)
        return Glance(self.policy, now, counters if now.counted else None, track, decision)

    async def follow(self, bus: Bus) -> None:
        """Look until cancelled, where it never stops only at `news`; an unanswered look is repeated."""
        while True:
            following: float | None
            try:
                following = await self._step(bus)
            except BusError:
                following = time.monotonic() + _RETRY
            self.planned = math.inf if following is None else following
            self.shared.looked()
            try:
                async with asyncio.timeout_at(following):  # the loop's clock is the same
                    await self.news.wait()
            except TimeoutError:
                self.shared.lag.note(self.planned)
            self.news.clear()

    async def _step(self, bus: Bus) -> float | None:
        """One look and what follows from it; when the next is, None for never, or not before it thaws."""
        if self.counting:
            self.target, self.counting = await self.counting.restore(bus, self.target), None
        if self.settings.idle_freeze is None:
            await self.freezing.thaw("settings")
            if self.settings.idle_stop is None:
                return None
        if self.is_warm(self.settings.instance):
            # Nothing is to be decided before its hours end, which is news; then its idle time begins.
            await self.freezing.thaw("warm")
            self.track = self.earlier = None
            self.decision = _decide_warm(self.started)
            return None
        if not self._is_due() and not (await self._look(bus)).stop:
            return await self._rest(bus)
        return time.monotonic() + _STOP_PATIENCE if await self._stop(bus) else await self._rest(bus)

    def _is_due(self) -> bool:
        """Whether it is to be stopped now, for all that is known: what is left then is the last look."""
        due = self.decision.would_stop_at if self.track and self.decision else None
        return due is not None and due <= time.monotonic()

    async def _look(self, bus: Bus) -> Decision:
        observation = await activity.observe(bus, self.shared.table, self.target, self._latest())
        self.usage.look()
        return self._judge(observation)

    async def _was_used(self, bus: Bus, since: Track) -> bool:
        now = await activity.observe(bus, self.shared.table, self.target, since.previous, last=True)
        return idle.is_stirred(since, now)

    async def _rest(self, bus: Bus) -> float | None:
        """Freeze it where that is due; when the next look is. What is frozen is not looked at."""
        assert self.track  # noqa: S101  just made
        assert self.decision  # noqa: S101
        now, freeze = time.monotonic(), idle.freeze_due(self.policy, self.track)
        is_due = freeze is not None and freeze <= now
        if is_due and not self.freezing.frozen:
            was_used = partial(self._was_used, bus, self.track)
            if not await self.freezing.freeze(now - self.track.busy, was_used):
                # The next try is a whole time without use away.
                self.track = replace(self.track, busy=now)
            freeze = idle.freeze_due(self.policy, self.track)
        if not is_due and self.freezing.frozen:
            await self.freezing.thaw("use")
        stop = self.decision.would_stop_at
        if self.freezing.frozen:
            return stop if stop is None or stop > now else now + _RETRY
        return self._following(now, freeze)

    def _following(self, now: float, freeze: float | None) -> float | None:
        """When to look next: with others, but for what is due then, and for the second look of a run."""
        assert self.decision  # noqa: S101
        policy, at, due = self.policy, self.decision.next_look, self.decision.would_stop_at
        idle_time = policy.idle_stop
        if policy.idle_freeze and freeze is not None:
            before = pace.following(
                policy.idle_freeze, now, freeze, free=0.0, rests=False, company=policy.company
            )
            if at is None or before < at:
                idle_time, at, due = policy.idle_freeze, before, freeze
        apart = pace.step(idle_time or 0.0, policy.company)
        if idle_time is None or at is None or at == due or at < now + 0.9 * apart:
            return at
        return self.shared.meetings.join(idle_time, apart, now, at)

    def thawed(self, reason: str) -> None:
        """Take note that the project goes on; where that is for its `stop`, nobody has called for it."""
        if reason == "stop":
            return
        if self.track:
            self.track = idle.woken(self.track, time.monotonic())
        self.news.set()

    def _judge(self, observation: Observation) -> Decision:
        # While systemd starts itself anew, counters are away for a moment.
        uncounted = self.track is not None and not self.track.previous.counted and not observation.counted
        if uncounted and not self.told_no_counters:
            self.told_no_counters = True
            messages.no_counters(self.settings.instance, self.settings.service, self.invocation)
        if self.track:
            self.track, self.decision = idle.look(self.policy, self.track, observation)
        elif self.earlier:
            self.track, self.decision = idle.resume(self.policy, self.earlier, observation)
        else:
            self.track = idle.begin(self.started, observation)
            self.decision = idle.decide(self.policy, self.track, observation.taken)
        return self.decision

    async def _stop(self, bus: Bus) -> bool:
        """Stop the service unless a last look finds use; whether to leave it alone then: the stop takes a while."""
        assert self.track  # noqa: S101  set by the look that decided
        self.usage.look(pressing=True)
        counters, identity = await asyncio.gather(
            usage.counters(bus, self.settings.sockets), _identity(bus, self.settings.primary)
        )
        if identity != self.invocation:
            return True
        # Before the last look: it can take a while, in which somebody comes.
        await self.freezing.thaw("stop")
        last = await activity.observe(bus, self.shared.table, self.target, self._latest(), last=True)
        decision = self._judge(last)
        if not decision.stop:
            return False
        instance, unit = self.settings.instance, self.settings.service
        messages.idle_stop(instance, unit, self.invocation, decision, self.usage.fields(counters))
        self.told_stop = True
        try:
            await bus.stop_unit(unit)
        except UnansweredError:
            raise  # it may well stop; if not, a later look decides anew
        except BusError as error:
            self.told_stop = False
            messages.idle_stop_refused(instance, unit, self.invocation, str(error))
            # The next try is a whole idle time away.
            self.track = replace(self.track, last_use=last.taken, last_reason="stop")
            self.decision = idle.decide(self.policy, self.track, last.taken)
            return False
        return True


def _decide_warm(started: float) -> Decision:
    return Decision(False, "start", "warm", 0.0, time.monotonic() - started, None, None)


async def _identity(bus: Bus, unit: str) -> str:
    (identity,) = await bus.properties((unit, UNIT, "InvocationID"))
    return bytes(identity or b"").hex()


async def read_settings(bus: Bus, service: str) -> Settings | None:
    """What the unit's files say; None for a service of no project. Raises ValueError for a bad value."""
    fragment, drop_ins = await bus.properties((service, UNIT, "FragmentPath"), (service, UNIT, "DropInPaths"))
    texts = settings.read_texts([path for path in (fragment, *(drop_ins or ())) if path])
    return settings.interpret(service, settings.parse_section(texts))


async def open_watch(bus: Bus, orders: Orders, service: str) -> Watch | None:
    """The watch of a service that is active now; None where it is not, or is no project's. Raises BusError."""
    wanted = await read_settings(bus, service)
    if wanted is None:
        return None
    state, entered, group = await bus.properties(
        (service, UNIT, "ActiveState"),
        (service, UNIT, "ActiveEnterTimestampMonotonic"),
        (wanted.primary, SERVICE, "ControlGroup"),
    )
    if state is None or group is None:
        raise BusError(f"cannot read the state of {service}")
    if state not in {"active", "reloading"}:
        return None
    target = await activity.find_target(bus, wanted, group)
    invocation = await _identity(bus, wanted.primary)
    return Watch(wanted, invocation, (entered or 0) / 1e6, target, Freezing(orders, wanted, invocation))
