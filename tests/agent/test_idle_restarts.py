"""The idle rule over restarts of the agent: nothing is stopped too early, no stop is postponed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idle_looks import OPAQUE, POLICY, QUIET, UNCOUNTED, connected, lateness, later, moves, policies

from projctl_agent import idle, tracks
from projctl_agent.idle import Observation, Policy


@pytest.mark.parametrize(
    ("before", "changes", "reason"),
    [
        (QUIET, {}, "start"),
        (QUIET, {"bytes_in": 5001}, "bytes"),
        (QUIET, connected(900.0), "connections"),
        (replace(QUIET, connections=frozenset({7})), connected(900.0), "connections"),
        (replace(QUIET, connections=frozenset({7})), connected(4000.0), "start"),
        (QUIET, connected(4000.0), "start"),
        (QUIET, {"program_held": 160.0}, "program"),
        (replace(QUIET, program_held=100.0), {}, "restart"),
        (replace(QUIET, program_held=90.0), {}, "start"),
        (replace(OPAQUE, taken=100.0), {}, "restart"),
        (QUIET, {"queue": 1}, "queue"),
        (QUIET, {"cpu_seconds": 1.09}, "start"),
        (QUIET, {"cpu_seconds": 1.11}, "restart"),
        (replace(QUIET, connections=frozenset({7})), {"connections": frozenset()}, "restart"),
        (replace(QUIET, connections=None), {"connections": frozenset()}, "restart"),
        (replace(QUIET, queue=1), {"queue": 0}, "restart"),
        (UNCOUNTED, {"cpu_seconds": 1.002}, "cpu"),
        (UNCOUNTED, {}, "start"),
    ],
)
def test_what_may_have_happened_while_nobody_looked(
    before: Observation, changes: dict[str, object], reason: str
) -> None:
    now = later(before, 60.0, **changes)
    track, decision = idle.resume(POLICY, idle.begin(before.taken, before), now)
    assert (track.last_reason, decision.activity) == (reason, reason)
    assert track.last_use == (before.taken if reason == "start" else now.taken)


def test_a_track_of_the_future_is_begun_anew() -> None:
    track = idle.begin(0.0, QUIET)
    early = replace(QUIET, taken=QUIET.taken - 1.0)
    assert idle.resume(Policy(10.0, 0.0), track, early)[0] == idle.begin(0.0, early)


@given(
    st.builds(Policy, idle_stop=st.floats(0.5, 1e5), min_uptime=st.floats(0.0, 100.0)),
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 50.0)), max_size=30),
)
def test_restarts_of_the_agent_do_not_postpone_a_stop(
    policy: Policy, restarts: list[tuple[bool, float]]
) -> None:
    """A quiet project stops when it would have, or when the agent is back: no restart begins the time anew."""
    now = QUIET
    track = idle.begin(now.taken, now)
    decision = idle.decide(policy, track, now.taken)
    due, away_until = decision.would_stop_at, 0.0
    assert due is not None
    for restart, seconds in [*restarts, *[(False, 0.0)] * 300]:
        if decision.stop:
            break
        assert decision.would_stop_at == due
        assert decision.next_look is not None
        if restart:
            away_until = now.taken + seconds
            now = replace(now, taken=away_until)
            track = tracks.parse(tracks.dump({"a": track}))["a"]
            track, decision = idle.resume(policy, track, now)
        else:
            now = replace(now, taken=decision.next_look)
            track, decision = idle.look(policy, track, now)
    assert decision.stop
    assert decision.would_stop_at == due
    assert due <= now.taken <= max(due, away_until) + lateness(policy)


@given(policies, st.lists(st.tuples(moves, st.booleans(), st.floats(0.0, 1e5)), max_size=40), st.booleans())
def test_no_restart_of_the_agent_stops_what_was_used(
    policy: Policy, story: list[tuple[dict[str, object], bool, float]], stale: bool
) -> None:
    """Use while the agent was away counts, also where what it saved is older than its last look."""
    now = QUIET
    track = saved = idle.begin(now.taken, now)
    decision, last_use = idle.decide(policy, track, now.taken), now.taken
    for move, restart, seconds in story:
        if decision.stop:
            break
        assert decision.next_look is not None
        connections = frozenset(move["connections"])  # type: ignore[call-overload]
        # Bytes move whenever a connection is opened or closed, and while one is in the queue.
        moved = int(str(move["moved"])) + (connections != now.connections) + int(str(move["queue"]))
        now = replace(
            now,
            taken=now.taken + seconds if restart else decision.next_look,
            bytes_in=now.bytes_in + moved,
            connections=connections,
            received=0.0 if connections else None,
            queue=int(str(move["queue"])),
        )
        if moved or connections:
            last_use = now.taken
        track, decision = (
            idle.resume(policy, saved if stale else track, now) if restart else idle.look(policy, track, now)
        )
        saved = saved if stale else track
    assert policy.idle_stop is not None
    assert not decision.stop or now.taken - last_use >= policy.idle_stop * (1 - 1e-9)
