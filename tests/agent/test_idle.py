"""The idle rule: a table of single looks, and what holds for any story of looks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import idle, tracks
from projctl_agent.idle import Observation, Policy, Track

QUIET = Observation(
    taken=100.0, ip_bytes=5000, counted=True, connections=frozenset(), quiet=None, queue=0, cpu_seconds=1.0
)
UNCOUNTED = replace(QUIET, ip_bytes=0, counted=False)


def later(before: Observation, **changes: object) -> Observation:
    """The next look, ten seconds on."""
    return replace(before, taken=before.taken + 10.0, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "changes", "reason"),
    [
        (QUIET, {}, None),
        (QUIET, {"ip_bytes": 5001}, "bytes"),
        (QUIET, {"ip_bytes": 10}, "bytes"),
        (QUIET, {"queue": 1}, "queue"),
        (QUIET, {"connections": frozenset({7}), "quiet": 60.0}, "connections"),
        (QUIET, {"connections": None}, "blind"),
        (QUIET, {"cpu_seconds": 1.19}, None),
        (QUIET, {"cpu_seconds": 1.21}, "cpu"),
        (QUIET, {"cpu_seconds": None}, None),
        (UNCOUNTED, {}, None),
        (UNCOUNTED, {"cpu_seconds": 1.01}, "cpu"),
        (UNCOUNTED, {"cpu_seconds": 1.0005}, None),
        (UNCOUNTED, {"cpu_seconds": None}, "blind"),
        (UNCOUNTED, {"connections": frozenset({7})}, "connections"),
    ],
)
def test_one_look(before: Observation, changes: dict[str, object], reason: str | None) -> None:
    assert idle.use(Track(0.0, 0.0, "start", before), later(before, **changes)) == reason


@pytest.mark.parametrize(
    ("quiet", "connections", "queue", "reason"),
    [
        (60.0, frozenset({7}), 0, "connections"),
        (3.0, frozenset({7}), 0, "bytes"),
        (None, frozenset({7}), 0, "bytes"),
        (60.0, frozenset({7, 8}), 0, "bytes"),
        (60.0, frozenset({8}), 0, "bytes"),
        (60.0, frozenset({7}), 1, "queue"),
    ],
)
def test_keepalive_probes_are_no_traffic(
    quiet: float | None, connections: frozenset[int], queue: int, reason: str
) -> None:
    before = replace(QUIET, connections=frozenset({7}), quiet=50.0)
    now = later(before, ip_bytes=5104, quiet=quiet, connections=connections, queue=queue)
    assert idle.use(Track(0.0, 0.0, "start", before), now) == reason


def test_housekeeping_of_a_server_without_counters_is_learned() -> None:
    policy = Policy(idle_stop=100.0, min_uptime=0.0)
    now = UNCOUNTED
    track = idle.begin(now.taken, now)
    reasons = []
    for cpu in (0.010, 0.010, 0.012, 0.040, 0.010):
        now = later(now, cpu_seconds=(now.cpu_seconds or 0.0) + cpu)
        reasons.append(idle.use(track, now))
        track, _ = idle.look(policy, track, now)
    assert reasons == ["cpu", None, None, "cpu", None]


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


@given(st.floats(1.0, 1e4), st.floats(0.0, 30.0), st.lists(st.floats(0.0, 40.0), max_size=20))
def test_looking_seldom_costs_no_time(idle_stop: float, uptime: float, used: list[float]) -> None:
    """Whenever it is used, it stops when it should, or as late as the looks of its last idle time lie apart."""
    policy = Policy(idle_stop, uptime * idle_stop)
    interval = max(idle.MIN_LOOK, idle_stop / idle.LOOKS)
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
        now = replace(now, taken=decision.next_look, ip_bytes=QUIET.ip_bytes + moved)
        track, decision = idle.look(policy, track, now)
    assert due - 1e-6 <= now.taken <= due + 1.5 * interval + 1e-6


moves = st.fixed_dictionaries(
    {
        "moved": st.integers(0, 3),
        "connections": st.sampled_from([frozenset(), frozenset({1}), frozenset({1, 2})]),
        "queue": st.sampled_from([0, 0, 0, 1]),
        "cpu": st.sampled_from([0.0, 0.0, 0.0, 0.001, 5.0]),
    }
)
policies = st.builds(Policy, idle_stop=st.floats(0.5, 1e5), min_uptime=st.floats(0.0, 1e5))


@given(policies, st.lists(moves, max_size=60), st.booleans())
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
            ip_bytes=now.ip_bytes + int(str(move["moved"])),
            counted=counted,
            connections=frozenset(move["connections"]),  # type: ignore[call-overload]
            quiet=0.0,
            queue=int(str(move["queue"])),
            cpu_seconds=(now.cpu_seconds or 0.0) + float(str(move["cpu"])),
        )
        looks.append(now.taken)
        if move["moved"] or move["connections"] or move["queue"]:
            uses.append(now.taken)
        track, decision = idle.look(policy, track, now)
    assert policy.idle_stop is not None
    interval = max(idle.MIN_LOOK, policy.idle_stop / idle.LOOKS)
    if decision.stop:
        assert looks[-1] - uses[-1] >= policy.idle_stop * (1 - 1e-9)
        assert looks[-1] - looks[0] >= policy.min_uptime * (1 - 1e-9)
    # Never two looks within an interval but for the one that falls due, and none later than what is due.
    assert all(b - a >= min(interval, policy.idle_stop) * (1 - 1e-6) - 1e-9 for a, b in pairwise(looks[:-1]))
    # What min_uptime alone holds is looked at once in an idle time or so, where counters keep what moves.
    most = 1.5 * (max(interval, policy.idle_stop) if counted and policy.min_uptime else interval)
    assert all(b - a <= most + 1e-9 for a, b in pairwise(looks))


@pytest.mark.parametrize(
    ("before", "changes", "reason"),
    [
        (QUIET, {}, "start"),
        (QUIET, {"ip_bytes": 5001}, "bytes"),
        (QUIET, {"connections": frozenset({7}), "quiet": 900.0}, "connections"),
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
    policy = Policy(idle_stop=100.0, min_uptime=0.0)
    now = replace(before, taken=before.taken + 60.0, **changes)  # type: ignore[arg-type]
    track, decision = idle.resume(policy, idle.begin(before.taken, before), now)
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
    assert now.taken == max(due, away_until) or now.taken == due


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
            ip_bytes=now.ip_bytes + moved,
            connections=connections,
            quiet=0.0,
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
