"""The idle rule: a table of single looks, and what holds for any story of looks."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projctl_agent import idle, pace, tracks
from projctl_agent.idle import Observation, Packets, Policy, Track

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = Observation(
    taken=100.0, bytes_in=5000, bytes_out=9000, counted=True, connections=frozenset(), received=None, sent=None,
    opaque=0, queue=0, cpu_seconds=1.0,
)  # fmt: skip
UNCOUNTED = replace(QUIET, bytes_in=0, bytes_out=0, counted=False)
#: A connection over a Unix socket, which does not tell when data moved on it.
OPAQUE = replace(UNCOUNTED, connections=frozenset({7}), opaque=1)
POLICY = Policy(idle_stop=100.0, min_uptime=0.0, busy_share=0.02, hold_connections=3600.0)
SHORT = replace(POLICY, hold_connections=5.0)


def later(before: Observation, seconds: float = 10.0, **changes: object) -> Observation:
    """The next look, ten seconds on; `quiet` stands for both directions."""
    if "quiet" in changes:
        changes |= {"received": changes.pop("quiet")} | {"sent": None}
    return replace(before, taken=before.taken + seconds, **changes)  # type: ignore[arg-type]


def connected(quiet: float | None, **changes: object) -> dict[str, object]:
    """A connection since whose last data so many seconds have passed."""
    return {"connections": frozenset({7}), "quiet": quiet} | changes


def lateness(policy: Policy) -> float:
    """How late a stop may be: 2 s, or a twentieth of the idle time where that is more."""
    assert policy.idle_stop is not None
    return max(2.0, policy.idle_stop / 20) + 1e-6


@pytest.mark.parametrize(
    ("before", "changes", "reason"),
    [
        (QUIET, {}, None),
        (QUIET, {"bytes_in": 5001}, "bytes"),
        (QUIET, {"bytes_in": 10}, "bytes"),
        (QUIET, {"bytes_out": 9001}, "bytes"),
        (QUIET, {"queue": 1}, "queue"),
        (QUIET, connected(60.0), "connections"),
        (QUIET, connected(0.0), "bytes"),
        (QUIET, {"connections": None}, "blind"),
        (QUIET, {"cpu_seconds": 1.19}, None),
        (QUIET, {"cpu_seconds": 1.21}, "cpu"),
        (QUIET, {"cpu_seconds": None}, None),
        (UNCOUNTED, {}, None),
        (UNCOUNTED, {"cpu_seconds": 1.01}, "cpu"),
        (UNCOUNTED, {"cpu_seconds": 1.0005}, None),
        (UNCOUNTED, {"cpu_seconds": None}, "blind"),
        (UNCOUNTED, {"connections": frozenset({7})}, "connections"),
        # systemd loaded its units anew, or did not count for a moment: what moved meanwhile may be missing.
        (QUIET, {"epoch": 1}, None),
        (QUIET, {"epoch": 1, "cpu_seconds": 1.01}, "cpu"),
        (QUIET, {"counted": False, "bytes_in": 0, "bytes_out": 0}, None),
        (UNCOUNTED, {"counted": True, "bytes_in": 5000}, None),
        (UNCOUNTED, {"counted": True, "cpu_seconds": 1.01}, "cpu"),
    ],
)
def test_one_look(before: Observation, changes: dict[str, object], reason: str | None) -> None:
    now = later(before, **changes)
    found = idle.use(POLICY, Track(0.0, 0.0, "start", before), now)
    assert found == (None if reason is None else (now.taken, reason))


@pytest.mark.parametrize(
    ("policy", "changes", "at", "reason"),
    [
        (SHORT, connected(2.0), 110.0, "connections"),
        (SHORT, connected(8.0), 107.0, "connections"),
        (SHORT, connected(400.0), -285.0, "connections"),
        (replace(POLICY, hold_connections=0.0), connected(8.0), 102.0, "bytes"),
        (replace(POLICY, hold_connections=None), connected(1e6), 110.0, "connections"),
        (SHORT, {"received": 8.0, "sent": 3.0, "connections": frozenset({7, 8})}, 110.0, "connections"),
        (POLICY, {"cpu_seconds": 1.19}, None, None),
        (replace(POLICY, busy_share=0.01), {"cpu_seconds": 1.11}, 110.0, "cpu"),
        (replace(POLICY, busy_share=None), {"cpu_seconds": 9.0}, None, None),
        (POLICY, {"program_held": 110.0}, 110.0, "program"),
        (POLICY, {"closed": 3.0}, 107.0, "bytes"),
        (POLICY, {"closed": 3.0, "epoch": 1}, 107.0, "bytes"),
        (POLICY, {"program_held": 104.0}, 104.0, "program"),
        (POLICY, {"program_held": 90.0}, 90.0, "program"),
        (replace(POLICY, held_until=900.0), {}, 110.0, "hold"),
        (replace(POLICY, held_until=103.0), {}, 103.0, "hold"),
        (replace(POLICY, held_until=103.0), {"bytes_in": 5001}, 110.0, "bytes"),
    ],
)
def test_when_it_was_used_last(
    policy: Policy, changes: dict[str, object], at: float | None, reason: str | None
) -> None:
    found = idle.use(policy, Track(0.0, 0.0, "start", QUIET), later(QUIET, **changes))
    assert found == (None if at is None else (at, reason))


@pytest.mark.parametrize(("held", "at"), [(90.0, 110.0), (104.0, 104.0), (110.5, 110.0)])
def test_a_program_that_let_go_without_a_word_may_have_done_so_just_now(held: float, at: float) -> None:
    track = Track(0.0, 0.0, "start", replace(QUIET, program_held=100.5))
    assert idle.use(POLICY, track, later(QUIET, program_held=held)) == (at, "program")


def test_cpu_that_other_sockets_cause_is_no_use_below_its_share() -> None:
    """A poller on a socket that does not count, where only CPU could tell of short requests."""
    track = Track(0.0, 0.0, "start", UNCOUNTED)
    assert idle.use(POLICY, track, later(UNCOUNTED, cpu_seconds=1.05)) == (110.0, "cpu")
    assert idle.use(POLICY, track, later(UNCOUNTED, cpu_seconds=1.05, mixed=True)) is None
    assert idle.use(POLICY, track, later(UNCOUNTED, cpu_seconds=1.25, mixed=True)) == (110.0, "cpu")


@pytest.mark.parametrize(
    ("changes", "moves"),
    [
        ({}, False),
        ({"cpu_seconds": 1.0005}, False),
        ({"cpu_seconds": 1.1}, True),
        ({"cpu_seconds": None}, True),
        ({"connections": frozenset({8})}, True),
        ({"queue": 1}, True),
    ],
)
def test_a_connection_that_does_not_tell_is_silent_while_nothing_else_tells(
    changes: dict[str, object], moves: bool
) -> None:
    track, _ = idle.look(SHORT, idle.begin(0.0, OPAQUE), later(OPAQUE, 8.0, cpu_seconds=1.0))
    assert track.last_use == OPAQUE.taken + 5.0
    track, _ = idle.look(SHORT, track, later(OPAQUE, 16.0, **changes))
    assert track.last_use == (OPAQUE.taken + 16.0 if moves else OPAQUE.taken + 5.0)


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
    before = replace(QUIET, connections=frozenset({7}), received=50.0)
    now = later(before, bytes_in=5104, quiet=quiet, connections=connections, queue=queue)
    found = idle.use(POLICY, Track(0.0, 0.0, "start", before), now)
    assert found
    assert found.reason == reason
    silent = idle.use(replace(POLICY, hold_connections=0.0), Track(0.0, 0.0, "start", before), now)
    assert silent
    assert (silent.at == now.taken) == (reason != "connections")


@pytest.mark.parametrize(("received", "sent"), [(3, 2), (2, 3)])
def test_a_request_beside_a_silent_connection_is_traffic(received: int, sent: int) -> None:
    """It came and went between two looks: that connection does not account for all packets."""
    before = replace(QUIET, connections=frozenset({7}), received=50.0)
    now = later(before, bytes_in=5104, quiet=60.0, packets=Packets(received, sent), segments=Packets(2, 2))
    found = idle.use(SHORT, Track(0.0, 0.0, "start", before), now)
    assert found == (now.taken, "bytes")


def test_housekeeping_of_a_server_without_counters_is_learned() -> None:
    now = UNCOUNTED
    track = idle.begin(now.taken, now)
    reasons = []
    for cpu in (0.010, 0.010, 0.012, 0.040, 0.010):
        now = later(now, cpu_seconds=(now.cpu_seconds or 0.0) + cpu)
        found = idle.use(POLICY, track, now)
        reasons.append(found and found.reason)
        track, _ = idle.look(POLICY, track, now)
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
            bytes_in=now.bytes_in + int(str(move["moved"])),
            bytes_out=now.bytes_out,
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
    interval = max(pace.MIN_LOOK, policy.idle_stop / pace.LOOKS)
    if decision.stop:
        assert looks[-1] - uses[-1] >= policy.idle_stop * (1 - 1e-9)
        assert looks[-1] - looks[0] >= policy.min_uptime * (1 - 1e-9)
    # Never two looks within a twentieth of the idle time.
    assert all(b - a >= policy.idle_stop / 20 * (1 - 1e-6) - 1e-9 for a, b in pairwise(looks))
    # What min_uptime alone holds is looked at once in an idle time or so, where counters keep what moves.
    most = max(1.5 * policy.idle_stop if counted and policy.min_uptime else 0.0, 2 * interval)
    assert all(b - a <= most + 1e-9 for a, b in pairwise(looks))


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
            packets=Packets(sum(moved), 0), segments=Packets(sum(moved[n] for n in open_now), 0),
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


@given(worlds())
@example(BETWEEN)
def test_a_stop_is_never_early_and_never_later_than_it_may_be(told: tuple[Policy, World]) -> None:
    """Nor is it looked at more often than every twentieth of its idle time."""
    policy, world = told
    now = world.seen(world.start)
    track = idle.begin(world.start, now)
    decision = idle.decide(policy, track, now.taken)
    looks = [now.taken]
    while not decision.stop:
        assert decision.next_look is not None
        now = world.seen(decision.next_look)
        looks.append(now.taken)
        track, decision = idle.look(policy, track, now)
    assert policy.idle_stop is not None
    assert any(due - 1e-6 <= now.taken <= due + lateness(policy) for due in world.dues(policy))
    assert len(looks) - 2 <= (looks[-1] - looks[0]) / (policy.idle_stop / 20) + 1e-6


@pytest.mark.parametrize("held", [None, math.inf])
def test_what_never_stops_is_never_looked_at(held: float | None) -> None:
    policy = replace(POLICY, idle_stop=None if held is None else 60.0, held_until=held)
    decision = idle.decide(policy, idle.begin(0.0, QUIET), 100.0)
    assert (decision.stop, decision.next_look, decision.would_stop_at) == (False, None, None)


FREEZING = replace(POLICY, idle_freeze=20.0)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, 0.0),
        (connected(600.0), 0.0),
        (connected(5.0), 1.0),
        (connected(19.5), 0.5),
        ({"bytes_in": 5001}, 1.0),
        ({"cpu_seconds": 9.0}, 1.0),
        ({"queue": 1}, 1.0),
    ],
)
def test_when_it_freezes(changes: dict[str, object], left: float) -> None:
    """Open connections alone keep it from stopping, not from freezing; looks are a twentieth of the time apart."""
    track, decision = idle.look(FREEZING, idle.begin(0.0, QUIET), later(QUIET, 30.0, **changes))
    assert idle.until_freeze(FREEZING, track, 130.0) == pytest.approx(left)
    assert not decision.stop
    assert idle.until_freeze(POLICY, track, 130.0) is None


def test_a_hold_keeps_it_from_freezing() -> None:
    held = replace(FREEZING, held_until=500.0)
    track, _ = idle.look(held, idle.begin(0.0, QUIET), later(QUIET, 30.0))
    assert idle.until_freeze(held, track, 130.0) == 1.0


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
        track, decision = idle.look(policy, track, replace(QUIET, taken=decision.next_look + lag))
    assert track.previous.taken == pytest.approx(QUIET.taken + 60.0 + 2 * lag)
    assert looks == 20
