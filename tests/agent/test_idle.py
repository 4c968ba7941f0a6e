"""The idle rule: a table of single looks, and what holds for any story of looks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import idle
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
    assert (held.stop, held.reason, held.would_stop_at) == (False, "min_uptime", 150.0)
    assert idle.decide(policy, track, 150.0).stop


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
    assert all(b - a <= 1.5 * interval + 1e-9 for a, b in pairwise(looks))
