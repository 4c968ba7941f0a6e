"""The idle rule: what a single look tells of use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from idle_looks import OPAQUE, POLICY, QUIET, SHORT, UNCOUNTED, connected, later

from projctl_agent import idle
from projctl_agent.idle import Observation, Policy, Track


@pytest.mark.parametrize(
    ("before", "changes", "reason"),
    [
        (QUIET, {}, None),
        (QUIET, {"bytes_in": 5001}, "bytes"),
        (QUIET, {"bytes_in": 10}, "bytes"),
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
        (QUIET, {"epoch": 1, "bytes_in": 5001}, "bytes"),
        (QUIET, {"epoch": 1, "bytes_in": 0}, None),
        (QUIET, {"epoch": 1, "bytes_in": 0, "cpu_seconds": 1.01}, "cpu"),
        (QUIET, {"epoch": 1, "bytes_in": 9}, "bytes"),
        (QUIET, {"bytes_in": 0}, "bytes"),
        (QUIET, {"counted": False, "bytes_in": 0}, None),
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


def test_a_request_beside_a_silent_connection_is_traffic() -> None:
    """It came and went between two looks: that connection does not account for all packets."""
    before = replace(QUIET, connections=frozenset({7}), received=50.0)
    now = later(before, bytes_in=5104, quiet=60.0, packets=3, segments=2)
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


@pytest.mark.parametrize(
    ("before", "changes", "stirred"),
    [
        (QUIET, {}, False),
        (QUIET, {"bytes_in": 5001}, True),
        (QUIET, {"queue": 1}, True),
        (QUIET, {"connections": None}, True),
        (QUIET, {"program_held": 99.0}, False),
        (QUIET, {"program_held": 100.01}, True),
        (QUIET, {"connections": frozenset({7})}, True),
        (QUIET, {"cpu_seconds": 1.5}, False),
        # A server that is never quite still does no more than it always does.
        (UNCOUNTED, {"cpu_seconds": 1.0013}, False),
        (UNCOUNTED, {"cpu_seconds": 1.002}, True),
        (replace(UNCOUNTED, mixed=True), {"cpu_seconds": 1.002}, False),
        (OPAQUE, {"connections": frozenset()}, True),
        (replace(QUIET, connections=frozenset({7}), received=9.0), {"quiet": 9.02}, False),
        (replace(QUIET, connections=frozenset({7}), received=9.0), {"quiet": 0.01}, True),
    ],
)
def test_what_stirs_between_two_looks_however_near(
    before: Observation, changes: dict[str, object], stirred: bool
) -> None:
    track = Track(0.0, 0.0, "start", before, quiet_rate=0.01)
    assert idle.is_stirred(track, later(before, 0.02, **changes)) is stirred
