"""Watches that look equally often meet, and nobody looks later for that."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from projctl_agent.meetings import Meetings

moments = st.floats(0.0, 1e6)


@given(st.lists(st.tuples(st.sampled_from([1.0, 2.95, 9.95]), moments, st.floats(1.0, 30.0)), max_size=50))
def test_nobody_looks_later_or_in_the_past(story: list[tuple[float, float, float]]) -> None:
    meetings = Meetings()
    for apart, now, factor in story:
        latest = now + factor * apart
        at = meetings.join(20 * apart, apart, now, latest)
        assert now < at <= latest + 1e-5 * apart
        assert at > latest - apart


@given(st.lists(st.floats(0.0, 2.95), min_size=1, max_size=20), st.floats(0.001, 0.1))
def test_many_that_began_at_any_time_wake_up_as_often_as_one(begun: list[float], takes: float) -> None:
    """Each look takes a moment, one after the other where several are due."""
    meetings, due = Meetings(), [(start, number) for number, start in enumerate(begun)]
    heapq.heapify(due)
    wakes, last = 0, -1.0
    while due[0][0] < 60.0:
        at, number = heapq.heappop(due)
        # Later ones of a meeting find the clock further on.
        now = max(at, last)
        wakes += at > last
        last = now + takes / len(begun)
        heapq.heappush(due, (meetings.join(60.0, 2.95, last, last + 2.95), number))
    assert wakes <= 60 / 2.95 + len(begun)


def test_one_alone_keeps_to_its_moments_until_it_looks_at_others() -> None:
    meetings, now = Meetings(), 100.0
    for number in range(50):
        at = meetings.join(60.0, 2.95, now, now + 2.95)
        assert abs(at - (100.0 + (number + 1) * 2.95)) < 1e-6
        now = at + 0.01
    assert meetings.join(60.0, 2.95, now + 1.5, now + 4.45) == now + 4.45


def test_others_with_other_times_are_nobody_to_wait_for() -> None:
    meetings = Meetings()
    assert meetings.join(10.0, 1.0, 10.0, 11.0) == 11.0
    assert meetings.join(60.0, 2.95, 10.5, 13.45) == 13.45
    assert meetings.join(60.0, 2.95, 10.7, 13.65) == 13.45
    # One that rests meets them after some of their steps.
    assert abs(meetings.join(60.0, 2.95, 10.7, 73.0) - (13.45 + 20 * 2.95)) < 1e-9
