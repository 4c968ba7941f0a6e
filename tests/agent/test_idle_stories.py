"""The idle rule: what holds for any story of looks."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import cycle, pairwise
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st
from idle_looks import QUIET, lateness, moves, policies

from projctl_agent import idle, pace
from projctl_agent.idle import Observation, Policy
from projctl_agent.meetings import Meetings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl_agent.idle import Decision


@given(st.floats(1.0, 1e4), st.floats(0.0, 30.0), st.lists(st.floats(0.0, 40.0), max_size=20))
def test_looking_seldom_costs_no_time(idle_stop: float, uptime: float, used: list[float]) -> None:
    """Whenever it is used, it stops when it should, or as late as the looks of its last idle time lie apart."""
    policy = Policy(idle_stop, uptime * idle_stop)
    due, seen = QUIET.taken + max(idle_stop, policy.min_uptime), []
    for use in sorted(QUIET.taken + after * idle_stop for after in used):
        if use < due:
            seen.append(use)
            due = max(due, use + idle_stop)
    now = QUIET
    track = idle.begin(now.taken, now)
    decision = idle.decide(policy, track, now.taken)
    while not decision.stop:
        assert decision.next_look is not None
        moved = sum(use <= decision.next_look for use in seen)
        now = replace(now, taken=decision.next_look, bytes_in=QUIET.bytes_in + moved)
        track, decision = idle.look(policy, track, now)
    assert due - 1e-6 <= now.taken <= due + lateness(policy)


#: Nothing, a connection, nothing: with a minimum uptime that ends between two looks, and without counters.
STILL: dict[str, object] = {"moved": 0, "connections": frozenset(), "queue": 0, "cpu": 0.0}
SHORT_VISIT = [STILL, {**STILL, "connections": frozenset({1})}, STILL]


def are_few(looks: list[float], policy: Policy) -> bool:
    """Whether there is one look in a twentieth of the idle time, but for the first, and one for each due of a stop."""
    assert policy.idle_stop is not None
    window = looks[-1] - looks[0]
    return len(looks) - 2 <= window / (policy.idle_stop / 20) * (1 + 1e-6) + window / policy.idle_stop


@given(policies, st.lists(moves, max_size=60), st.booleans())
@example(policy=Policy(idle_stop=0.5, min_uptime=0.75), story=SHORT_VISIT, counted=False)
def test_any_story(policy: Policy, story: list[dict[str, object]], counted: bool) -> None:
    now = replace(QUIET, counted=counted)
    track = idle.begin(now.taken, now)
    decision = idle.decide(policy, track, now.taken)
    looks, uses = [now.taken], [now.taken]
    for move in story:
        if decision.stop:
            break
        assert decision.next_look is not None
        now = Observation(
            taken=decision.next_look,
            bytes_in=now.bytes_in + int(str(move["moved"])),
            counted=counted,
            connections=frozenset(move["connections"]),  # type: ignore[call-overload]
            received=0.0 if move["connections"] else None,
            sent=None,
            opaque=0,
            queue=int(str(move["queue"])),
            cpu_seconds=(now.cpu_seconds or 0.0) + float(str(move["cpu"])),
        )
        looks.append(now.taken)
        if move["moved"] or move["connections"] or move["queue"]:
            uses.append(now.taken)
        track, decision = idle.look(policy, track, now)
    assert policy.idle_stop is not None
    interval = pace.step(policy.idle_stop)
    if decision.stop:
        assert looks[-1] - uses[-1] >= policy.idle_stop * (1 - 1e-9)
        assert looks[-1] - looks[0] >= policy.min_uptime * (1 - 1e-9)
    assert are_few(looks, policy)
    # What min_uptime alone holds is looked at once in an idle time or so, where counters keep what moves.
    most = max(1.5 * policy.idle_stop if counted and policy.min_uptime else 0.0, 2 * interval, 2.0)
    assert all(b - a <= most + 1e-9 for a, b in pairwise(looks))


#: Seconds between two keepalive probes.
PROBE = 15.0


class World:
    """What really happens to a project: connections as (open, close, moments of data), the latter two included."""

    def __init__(self, start: float, connections: list[list[float]]) -> None:
        self.start = start
        self.connections = connections

    def seen(self, now: float) -> Observation:
        """What a look finds at that moment; data that moves then has moved."""
        moved = [sum(m <= now for m in c) + self.probes(c, now) for c in self.connections]
        open_now = {
            n: max(m for m in c if m <= now) for n, c in enumerate(self.connections) if c[0] <= now < c[-1]
        }
        age = min((now - last for last in open_now.values()), default=None)
        return replace(
            QUIET, taken=now, bytes_in=sum(moved), connections=frozenset(open_now), received=age, sent=age,
            packets=sum(moved), segments=sum(moved[n] for n in open_now),
            segments_before=sum(moved[n] for n in open_now),
        )  # fmt: skip

    def probes(self, connection: list[float], now: float) -> int:
        """How many keepalive probes came in on a connection."""
        return max(0, int((min(now, connection[-1]) - connection[0]) / PROBE))

    def dues(self, policy: Policy) -> Iterator[float]:
        """The moments at which it has been idle for long enough, up to one after which nobody comes in time."""
        assert policy.idle_stop is not None
        assert policy.hold_connections is not None
        least = max(self.start + policy.min_uptime, (policy.held_until or 0.0) + policy.idle_stop)
        moments = sorted(m for c in self.connections for m in c)
        for before, after in pairwise([self.start, *moments, math.inf]):
            data = [max(m for m in c if m <= before) for c in self.connections if c[0] <= before < c[-1]]
            last = max([before, *(min(after, moment + policy.hold_connections) for moment in data)])
            due = max(last + policy.idle_stop, least)
            if due < after:
                yield due
            if due + lateness(policy) < after:
                return


def shared(decision: Decision, now: float, share: float) -> float:
    """When it looks, where others do so before it would have to."""
    assert decision.next_look is not None
    is_due = decision.next_look == decision.would_stop_at
    return decision.next_look if is_due else now + share * (decision.next_look - now)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Policy, World]:
    """A policy, and connections that last up to two idle times each."""
    idle_stop = draw(st.floats(1.0, 7200.0))
    times = st.floats(0.0, 3.0).map(lambda share: share * idle_stop)
    policy = Policy(
        idle_stop,
        draw(times),
        hold_connections=draw(st.just(0.0) | times),
        held_until=draw(st.none() | times.map(lambda after: QUIET.taken + after)),
    )
    connections = [
        sorted(QUIET.taken + 0.001 + moment for moment in moments)
        for moments in draw(st.lists(st.lists(times, min_size=2, max_size=6), max_size=6))
    ]
    return policy, World(QUIET.taken, connections)


#: A connection that falls silent between two looks, so that what is due lies between others; then a short request.
BETWEEN = Policy(100.0, 0.0, hold_connections=0.0), World(100.0, [[100.5, 102.0, 900.0], [105.1, 105.2]])


@given(worlds(), st.lists(st.floats(0.05, 1.0), max_size=9))
@example(BETWEEN, [])
def test_a_stop_is_never_early_and_never_later_than_it_may_be(
    told: tuple[Policy, World], others: list[float]
) -> None:
    """Whether it looks alone or with others; alone not more often than every twentieth of its idle time."""
    policy, world = told
    now = world.seen(world.start)
    track = idle.begin(world.start, now)
    decision = idle.decide(policy, track, now.taken)
    looks, shares = [now.taken], cycle([*others, 1.0])
    while not decision.stop:
        now = world.seen(shared(decision, now.taken, next(shares)))
        looks.append(now.taken)
        track, decision = idle.look(policy, track, now)
    assert any(due - 1e-6 <= now.taken <= due + lateness(policy) for due in world.dues(policy))
    assert others or are_few(looks, policy)


@given(st.floats(1.0, 1e5))
def test_one_alone_looks_no_more_often_than_it_may_and_no_more_seldom(idle_stop: float) -> None:
    allowed = max(2.0, idle_stop / 20)
    assert idle_stop / 20 <= pace.step(idle_stop) <= pace.latest(idle_stop) <= allowed


@given(st.floats(1.0, 1e5), st.integers(2, 400))
def test_the_more_company_the_more_time_the_agent_has(idle_stop: float, company: int) -> None:
    allowed = max(2.0, idle_stop / 20)
    own = allowed - pace.latest(idle_stop, company)
    assert own >= min(pace.OWN + 0.001 * (company - 1), allowed / 2) - 1e-6
    assert pace.step(idle_stop, company) <= max(pace.MIN_LOOK, allowed - own) + 1e-6
    # With one beside it that is not looked at SELDOM, both together may wake the agent that often.
    assert 20 / idle_stop * (1 + 1 / pace.SELDOM) >= (1 - 1e-6) / pace.step(idle_stop, 2)


def test_who_keeps_another_company() -> None:
    assert not pace.has_company(60.0, [60.0])
    assert not pace.has_company(60.0, [None, 60.0, 2401.0, None])
    assert pace.has_company(60.0, [2400.0, 60.0])
    assert pace.has_company(2401.0, [60.0, 2401.0])
    assert not pace.has_company(None, [60.0, 60.0])


@given(
    st.floats(40.0, 1e5),
    st.lists(st.floats(0.0, 1.0), max_size=40),
    st.lists(st.floats(0.001, 0.02), min_size=1, max_size=9),
)
@example(60.0, [1e-6], [0.002])
def test_one_alone_wakes_the_agent_twenty_times_in_its_idle_time(
    idle_stop: float, used: list[float], takes: list[float]
) -> None:
    """However long its looks take; late by no more than that, where a use comes right after one of them."""
    policy, meetings, lasting = Policy(idle_stop, 0.0), Meetings(), cycle(takes)
    now = replace(QUIET, taken=QUIET.taken + next(lasting))
    track = idle.begin(QUIET.taken, now)
    decision = idle.decide(policy, track, now.taken)
    uses = [now.taken + share * idle_stop * 3 for share in sorted(used)]
    wakes, last, since = 0, QUIET.taken, QUIET.taken
    while not decision.stop:
        at, due = decision.next_look, decision.would_stop_at
        assert at is not None
        if at != due:
            at = meetings.join(idle_stop, pace.step(idle_stop), now.taken, at)
        wakes += 1
        moved = sum(since < use <= at for use in uses)
        if moved:
            last, wakes = max(use for use in uses if use <= at), 0
        since = at
        now = replace(now, taken=at + next(lasting), bytes_in=now.bytes_in + moved)
        track, decision = idle.look(policy, track, now)
    assert wakes == 20
    assert idle_stop <= now.taken - last <= idle_stop * 1.05 + 3 * max(takes)
