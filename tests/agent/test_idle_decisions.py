"""The idle rule: when it stops, when it freezes, when to look again."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from idle_looks import POLICY, QUIET, UNCOUNTED, connected, later

from projctl_agent import idle, pace
from projctl_agent.idle import Observation, Policy, Track

STEP = pace.step(POLICY.idle_stop or 0.0)


def test_never_means_no_look_and_no_stop() -> None:
    track = idle.begin(0.0, QUIET)
    decision = idle.decide(Policy(idle_stop=None, min_uptime=0.0), track, 1e9)
    assert (decision.stop, decision.next_look, decision.would_stop_at) == (False, None, None)


def test_minimum_uptime_holds_an_idle_project() -> None:
    track = Track(started=90.0, last_use=100.0, last_reason="bytes", previous=QUIET)
    policy = Policy(idle_stop=10.0, min_uptime=60.0)
    held = idle.decide(policy, track, 120.0)
    assert (held.stop, held.activity, held.held, held.would_stop_at) == (False, "bytes", "min_uptime", 150.0)
    assert idle.decide(policy, track, 105.0).held is None
    assert idle.decide(policy, track, 150.0).stop


@pytest.mark.parametrize(("observation", "most"), [(QUIET, 50), (UNCOUNTED, 3000)])
def test_what_minimum_uptime_alone_holds_is_looked_at_seldom(observation: Observation, most: int) -> None:
    """A minute of idle time, an hour of minimum uptime; without counters every look may be the one that sees."""
    policy = Policy(idle_stop=60.0, min_uptime=3600.0)
    track = idle.begin(observation.taken, observation)
    decision, looks = idle.decide(policy, track, observation.taken), 0
    while not decision.stop:
        assert decision.next_look is not None
        looks += 1
        now = replace(observation, taken=decision.next_look)
        track, decision = idle.look(policy, track, now)
    assert now.taken == track.started + 3600.0
    assert most / 3 < looks <= most * 2


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [({}, STEP), ({"connections": frozenset({7})}, 1.0), ({"queue": 1}, 1.0), ({"connections": None}, STEP)],
)
def test_who_started_it_is_mostly_served_soon(changes: dict[str, object], seconds: float) -> None:
    """Else the commonest run, one request, would stop as late as may be. Later looks keep their distance."""
    first = replace(QUIET, **changes)  # type: ignore[arg-type]
    track = idle.begin(90.0, first)
    decision = idle.decide(POLICY, track, first.taken)
    assert decision.next_look == first.taken + seconds
    second = replace(QUIET, taken=decision.next_look, bytes_in=5001)
    track, decision = idle.look(POLICY, track, second)
    assert (decision.next_look, decision.would_stop_at) == (second.taken + STEP, second.taken + 100.0)


@pytest.mark.parametrize("held", [None, math.inf])
def test_what_never_stops_is_never_looked_at(held: float | None) -> None:
    policy = replace(POLICY, idle_stop=None if held is None else 60.0, held_until=held)
    decision = idle.decide(policy, idle.begin(0.0, QUIET), 100.0)
    assert (decision.stop, decision.next_look, decision.would_stop_at) == (False, None, None)


FREEZING = replace(POLICY, idle_freeze=20.0)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, -10.0),
        (connected(600.0), -10.0),
        (connected(5.0), 15.0),
        (connected(19.5), 0.5),
        ({"bytes_in": 5001}, 20.0),
        ({"cpu_seconds": 9.0}, 20.0),
        ({"queue": 1}, 20.0),
    ],
)
def test_when_it_freezes(changes: dict[str, object], left: float) -> None:
    """Open connections alone keep it from stopping, not from freezing."""
    track, decision = idle.look(FREEZING, idle.begin(100.0, QUIET), later(QUIET, 30.0, **changes))
    assert idle.freeze_due(FREEZING, track) == pytest.approx(130.0 + left)
    assert not decision.stop
    assert idle.freeze_due(POLICY, track) is None


def test_a_hold_keeps_it_from_freezing() -> None:
    held = replace(FREEZING, held_until=500.0)
    track, _ = idle.look(held, idle.begin(0.0, QUIET), later(QUIET, 30.0))
    assert idle.freeze_due(held, track) == 150.0


@pytest.mark.parametrize(("before", "used"), [(QUIET, 100.0), (UNCOUNTED, 190.0)])
def test_what_wakes_it_is_use_where_no_counter_tells(before: Observation, used: float) -> None:
    track = idle.woken(idle.begin(0.0, before), 190.0)
    assert (track.last_use, track.busy) == (used, 190.0)


def test_looks_that_come_late_do_not_put_off_all_that_follow() -> None:
    """A machine that is busy wakes the agent late each time; the stop is late by the last of them only."""
    policy, lag = replace(POLICY, idle_stop=60.0), 0.05
    track = idle.begin(QUIET.taken, QUIET)
    decision, looks = idle.decide(policy, track, QUIET.taken), 0
    while not decision.stop:
        assert decision.next_look is not None
        looks += 1
        now = replace(QUIET, taken=decision.next_look + lag)
        track, decision = idle.look(policy, track, now)
    assert 0 <= now.taken - (QUIET.taken + 60.0) <= lag * 1.001
    assert looks == 20
