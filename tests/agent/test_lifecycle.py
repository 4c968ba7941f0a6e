"""Totals out of entries that a real systemd 252 wrote, and what holds however they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import checkpoint
from projctl_agent.entry import Entry, Kind
from projctl_agent.lifecycle import Ledger, Totals

STORIES = {path.stem: path for path in sorted(Path(__file__).with_name("entries").glob("*.json"))}


def story(name: str) -> list[Entry]:
    return [Entry(Kind(kind), *rest) for kind, *rest in json.loads(STORIES[name].read_text())]


def totals(entries: list[Entry], project: str) -> Totals:
    ledger = Ledger()
    ledger.feed(entries)
    return ledger.projects[project]


def entry(kind: Kind, invocation: str = "a" * 32, *, at: int = 1, boot: str = "b", result: str = "") -> Entry:
    return Entry(kind, "projctl-web.service", invocation, boot, at * 1_000_000, at * 1_000_000, result)


@pytest.mark.parametrize(
    ("name", "starts", "stops", "timed"),
    [
        ("ready", 1, {"idle": 1}, 1),
        ("cap", 1, {"max_runtime": 1}, 1),
        ("crash", 3, {"crash": 2, "manual": 1}, 3),
        ("hand", 3, {"manual": 3}, 3),
        ("late", 3, {"start_timeout": 3}, 0),
        ("ended", 1, {"exit": 1}, 0),
        ("px", 3, {"idle": 1, "crash": 1, "manual": 1}, 3),
    ],
)
def test_recorded_stories(name: str, starts: int, stops: dict[str, int], timed: int) -> None:
    found = totals(story(name), name)
    assert (found.starts, found.stops, sum(found.durations), found.runs) == (starts, stops, timed, {})


def test_every_recorded_story_is_told() -> None:
    assert set(STORIES) == {"ready", "cap", "crash", "hand", "late", "ended", "px"}


def test_a_run_that_goes_on_is_a_start_without_a_stop() -> None:
    found = totals([entry(Kind.STARTING, at=1), entry(Kind.STARTED, at=3)], "web")
    assert (found.starts, found.stops, found.duration_sum) == (1, {}, 2.0)
    assert len(found.runs) == 1


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry(Kind.STARTED), entry(Kind.FAILURE, result="oom-kill")], "oom"),
        ([entry(Kind.STARTED), entry(Kind.OUT_OF_MEMORY), entry(Kind.FAILURE, result="signal")], "oom"),
        # One that went on without the process that was killed ends for what ends it.
        ([entry(Kind.STARTED), entry(Kind.OUT_OF_MEMORY), entry(Kind.FAILURE, result="timeout")], "max_runtime"),
        ([entry(Kind.STARTED), entry(Kind.OUT_OF_MEMORY), entry(Kind.SUCCESS)], "exit"),
        (
            [entry(Kind.STARTED), entry(Kind.OUT_OF_MEMORY), entry(Kind.IDLE_STOP), entry(Kind.STOPPING),
             entry(Kind.SUCCESS)],
            "idle",
        ),
        ([entry(Kind.STARTED), entry(Kind.FAILURE, result="watchdog")], "crash"),
        ([entry(Kind.FAILURE, result="resources")], "crash"),
        ([entry(Kind.STARTED), entry(Kind.STOPPING), entry(Kind.FAILURE, result="timeout")], "stop_timeout"),
        (
            [entry(Kind.STARTED), entry(Kind.IDLE_STOP), entry(Kind.STOPPING), entry(Kind.FAILURE, result="timeout")],
            "idle",
        ),
        (
            [entry(Kind.STARTED), entry(Kind.IDLE_STOP), entry(Kind.IDLE_STOP_REFUSED), entry(Kind.STOPPING),
             entry(Kind.SUCCESS)],
            "manual",
        ),
        ([entry(Kind.STARTED), entry(Kind.IDLE_STOP, "c" * 32), entry(Kind.STOPPING), entry(Kind.SUCCESS)], "manual"),
        # An agent that ended between its decision and the stop has stopped nothing.
        ([entry(Kind.STARTED), entry(Kind.IDLE_STOP), entry(Kind.FAILURE, at=99, result="signal")], "crash"),
        (
            [entry(Kind.STARTED), entry(Kind.IDLE_STOP), entry(Kind.STOPPING, at=99), entry(Kind.SUCCESS, at=99)],
            "manual",
        ),
        (
            [entry(Kind.STARTED), entry(Kind.IDLE_STOP), entry(Kind.IDLE_STOP, at=98), entry(Kind.STOPPING, at=99),
             entry(Kind.SUCCESS, at=99)],
            "idle",
        ),
    ],
)  # fmt: skip
def test_reasons(entries: list[Entry], reason: str) -> None:
    found = totals(entries, "web")
    assert (found.starts, found.stops, found.last_reason) == (1, {reason: 1}, reason)


def order(what: str, *, at: int = 1) -> Entry:
    return entry(Kind.ORDER, "", at=at, result=what)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry(Kind.STARTED), order("apply"), entry(Kind.STOPPING, at=9), entry(Kind.SUCCESS, at=99)], "apply"),
        ([entry(Kind.STARTED), order("override"), entry(Kind.STOPPING), entry(Kind.SUCCESS)], "override"),
        ([entry(Kind.STARTED), order("stop"), entry(Kind.STOPPING), entry(Kind.FAILURE, result="exit-code")], "manual"),
        ([entry(Kind.STARTED), order("apply"), entry(Kind.STOPPING, at=62), entry(Kind.SUCCESS, at=62)], "manual"),
        ([entry(Kind.STARTED), order("apply", at=5), entry(Kind.FAILURE, at=6, result="signal")], "crash"),
        ([order("apply"), entry(Kind.STARTED), entry(Kind.STOPPING), entry(Kind.SUCCESS)], "manual"),
        ([entry(Kind.STARTED), order("up"), entry(Kind.STOPPING), entry(Kind.SUCCESS)], "manual"),
        ([entry(Kind.STARTED), order("nonsense"), entry(Kind.STOPPING), entry(Kind.SUCCESS)], "manual"),
        ([entry(Kind.STARTING), entry(Kind.PROBE_FAILED), entry(Kind.FAILURE, result="exit-code")], "health"),
        (
            [entry(Kind.STARTING), entry(Kind.EXITED, result="exit status 3"), entry(Kind.PROBE_FAILED, result="x"),
             entry(Kind.FAILURE, result="exit-code")],
            "crash",
        ),
        (
            [entry(Kind.STARTING), entry(Kind.PROBE_FAILED, result="killed by SIGTERM"),
             entry(Kind.FAILURE, result="timeout")],
            "start_timeout",
        ),
    ],
)  # fmt: skip
def test_reasons_by_order_and_by_the_probe(entries: list[Entry], reason: str) -> None:
    assert totals(entries, "web").stops == {reason: 1}


def test_an_order_ends_with_the_run_that_it_ended() -> None:
    told = [entry(Kind.STARTED), order("apply"), entry(Kind.STOPPING), entry(Kind.SUCCESS)]
    told += [entry(Kind.STARTED, "c" * 32), entry(Kind.STOPPING, "c" * 32), entry(Kind.SUCCESS, "c" * 32)]
    assert totals(told, "web").stops == {"apply": 1, "manual": 1}


def test_what_was_opened_again_and_left_behind_is_counted() -> None:
    found = totals([entry(Kind.REARMED), entry(Kind.REARMED), entry(Kind.LEAK)], "web")
    assert (found.rearmed, found.leaks, found.starts) == (2, 1, 0)


def test_a_power_cut_ends_runs_as_lost() -> None:
    other = Entry(Kind.STARTED, "projctl-other.service", "d" * 32, "after", 9, 9)
    found = totals([entry(Kind.STARTED, boot="before"), other], "web")
    assert (found.stops, found.runs) == ({"lost": 1}, {})


def test_an_end_that_no_entry_tells_is_lost_at_the_next_start() -> None:
    found = totals([entry(Kind.STARTED, "a" * 32), entry(Kind.STARTED, "c" * 32)], "web")
    assert (found.starts, found.stops, list(found.runs)) == (2, {"lost": 1}, ["c" * 32])


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([entry(Kind.IDLE_STOP), entry(Kind.STOPPING)], "idle"),
        ([entry(Kind.IDLE_STOP)], "idle"),
        ([entry(Kind.IDLE_STOP), entry(Kind.IDLE_STOP_REFUSED)], "lost"),
        ([entry(Kind.IDLE_STOP, "f" * 32)], "lost"),
        ([entry(Kind.STOPPING)], "manual"),
        ([order("restart"), entry(Kind.STOPPING)], "manual"),
        ([order("apply"), entry(Kind.STOPPING)], "apply"),
        ([order("apply")], "lost"),
        ([], "lost"),
    ],
)
def test_a_lost_end_has_the_reason_of_its_stop(told: list[Entry], reason: str) -> None:
    found = totals([entry(Kind.STARTED), *told, entry(Kind.STARTED, "c" * 32, at=9999)], "web")
    assert (found.starts, found.stops) == (2, {reason: 1})


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([entry(Kind.IDLE_STOP), entry(Kind.SUCCESS)], "idle"),
        ([entry(Kind.IDLE_STOP), entry(Kind.STOPPED)], "idle"),
        ([entry(Kind.IDLE_STOP), entry(Kind.SUCCESS, at=99)], "exit"),
        ([entry(Kind.IDLE_STOP), entry(Kind.FAILURE, result="signal")], "crash"),
        ([entry(Kind.IDLE_STOP), entry(Kind.IDLE_STOP_REFUSED), entry(Kind.SUCCESS)], "exit"),
        ([order("apply"), entry(Kind.SUCCESS)], "exit"),
    ],
)
def test_a_decided_stop_whose_beginning_is_lost(told: list[Entry], reason: str) -> None:
    assert totals([entry(Kind.STARTED), *told], "web").stops == {reason: 1}


def test_a_power_cut_does_not_carry_a_decision_out() -> None:
    other = Entry(Kind.STARTED, "projctl-other.service", "d" * 32, "after", 9, 9)
    told = [entry(Kind.STARTED, boot="before"), entry(Kind.IDLE_STOP, boot="before"), other]
    assert totals(told, "web").stops == {"lost": 1}


def test_a_clock_that_is_set_during_a_start_does_not_spoil_its_duration() -> None:
    starting = entry(Kind.STARTING, at=10)
    started = entry(Kind.STARTED, at=11)._replace(realtime=5_000_000_000_000)
    assert totals([starting, started], "web").duration_sum == 1.0
    started = entry(Kind.STARTED, at=11)._replace(realtime=0)
    assert totals([starting, started], "web").duration_sum == 1.0


def test_other_units_leave_no_trace() -> None:
    ledger = Ledger()
    ledger.feed(
        [entry(Kind.STARTED)._replace(unit=unit) for unit in ("sshd.service", "projctl-agent.service", "")]
    )
    assert ledger.projects == {}


kinds = st.sampled_from(list(Kind))
units = st.sampled_from(["projctl-web.service", "projctl-web.backend.service", "projctl-b.service"])
results = st.sampled_from(["", "timeout", "signal", "oom-kill"])
anything = st.lists(
    st.builds(
        Entry, kinds, units, st.sampled_from("abcde"), st.sampled_from("xxxxy"), st.integers(0, 9), st.integers(0, 9),
        results,
    ),
    max_size=40,
)  # fmt: skip
recorded = st.sampled_from(sorted(STORIES)).map(story)


@given(st.one_of(recorded, anything), st.lists(st.integers(0, 40)))
def test_any_split_gives_the_same_totals(entries: list[Entry], cuts: list[int]) -> None:
    whole = Ledger()
    whole.feed(entries)
    pieces = Ledger()
    start = 0
    for cut in sorted(min(cut, len(entries)) for cut in [*cuts, len(entries)]):
        pieces.feed(entries[start:cut])
        pieces, cursor = checkpoint.parse(checkpoint.dump(pieces, f"at {cut}"))
        assert cursor == f"at {cut}"
        start = cut
    assert pieces == whole


@given(anything)
def test_every_start_ends_once_or_still_runs(entries: list[Entry]) -> None:
    ledger = Ledger()
    ledger.feed(entries)
    for found in ledger.projects.values():
        running = sum(not run.frontend for run in found.runs.values())
        assert found.starts == sum(found.stops.values()) + running
        assert sum(found.durations) <= found.starts


@given(anything)
def test_counters_never_fall(entries: list[Entry]) -> None:
    ledger = Ledger()
    before: dict[tuple[str, str], int] = {}
    for one in entries:
        ledger.feed([one])
        now = {(name, "starts"): found.starts for name, found in ledger.projects.items()}
        now |= {(name, why): n for name, found in ledger.projects.items() for why, n in found.stops.items()}
        assert all(now[key] >= count for key, count in before.items())
        before = now


def test_instances_are_counted_apart() -> None:
    ledger = Ledger()
    ledger.feed(
        [
            entry(Kind.STARTED, "a" * 32)._replace(unit="projctl-web@0.service"),
            entry(Kind.STARTED, "c" * 32)._replace(unit="projctl-web@1.service"),
            entry(Kind.IDLE_STOP, "c" * 32)._replace(unit="projctl-web@1.service"),
            entry(Kind.STOPPING, "c" * 32)._replace(unit="projctl-web@1.service"),
            entry(Kind.SUCCESS, "c" * 32)._replace(unit="projctl-web@1.service"),
        ]
    )
    assert {name: found.stops for name, found in ledger.projects.items()} == {
        "web@0": {},
        "web@1": {"idle": 1},
    }
    assert checkpoint.parse(checkpoint.dump(ledger, "s=1")) == (ledger, "s=1")
