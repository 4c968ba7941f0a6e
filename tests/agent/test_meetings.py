"""Watches meet, and nobody looks later for that."""

from __future__ import annotations

import heapq

import pytest
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
        assert at > latest - apart - 1e-5


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


def test_who_looks_seldom_meets_those_that_do_more_often() -> None:
    meetings = Meetings()
    assert meetings.join(10.0, 1.0, 10.0, 11.0) == 11.0
    # The last of the others' moments before it would have to look.
    assert meetings.join(60.0, 2.95, 10.5, 13.45) == 13.0
    assert meetings.join(10.0, 1.0, 11.01, 12.01) == 12.0
    assert meetings.join(10.0, 1.0, 12.01, 13.01) == 13.0
    # At a meeting it does not matter who is first.
    assert meetings.join(60.0, 2.95, 13.01, 15.96) == 15.0
    assert meetings.join(10.0, 1.0, 13.01, 14.01) == 14.0
    # Others that are gone are nobody to wait for.
    assert meetings.join(60.0, 2.95, 15.01, 17.96) == pytest.approx(17.95)
    assert meetings.join(60.0, 2.95, 15.02, 17.97) == pytest.approx(17.95)
    assert meetings.join(60.0, 2.95, 17.96, 20.91) == pytest.approx(20.90)
    # One that rests meets them after some of their steps.
    assert meetings.join(60.0, 2.95, 17.97, 80.0) == pytest.approx(20.90 + 20 * 2.95)


@given(st.lists(st.floats(20.0, 400.0), min_size=2, max_size=12, unique=True))
def test_any_mix_wakes_up_as_often_as_the_one_looked_at_most(idles: list[float]) -> None:
    """And once more for each to begin with; looks take no time here."""
    meetings, wakes, seconds = Meetings(), set(), 2000.0
    due = [(1.0, idle) for idle in idles]
    heapq.heapify(due)
    while due[0][0] < seconds:
        now, idle = heapq.heappop(due)
        wakes.add(round(now, 3))
        apart = idle / 20 * 0.98
        heapq.heappush(due, (meetings.join(idle, apart, now, now + apart), idle))
    assert len(wakes) <= seconds / (min(idles) / 20 * 0.98) + len(idles)
