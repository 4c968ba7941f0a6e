"""Events out of entries that a real systemd wrote: they say what the totals count, however they are read."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_lifecycle import anything, entry, recorded, story

from projctl_agent import checkpoint, moments
from projctl_agent.entry import Entry, Kind
from projctl_agent.event import ENDS, FIGURES, USED, Event
from projctl_agent.joining import Joining
from projctl_agent.lifecycle import Ledger

INVOCATION = "a" * 32


def events(entries: list[Entry]) -> list[Event]:
    return Ledger().feed(entries)


def told(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(event.event, event.reason) for event in events(entries)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ready", "starting ready idle_stop stopping stopped:idle"),
        ("cap", "starting ready stopped:max_runtime"),
        ("ended", "starting ready stopped:exit"),
        ("late", "starting crashed:start_timeout " * 3),
        (
            "px",
            "starting ready idle_stop stopping stopped:idle starting ready crashed:crash starting ready"
            " stopping stopped:manual",
        ),
    ],
)
def test_recorded_stories(name: str, expected: str) -> None:
    words = [f"{event}:{reason}" if reason else event for event, reason in told(story(name))]
    assert " ".join(words) == expected.strip()


def test_the_form_for_programs() -> None:
    (starting, ready) = events([entry(Kind.STARTING, at=1), entry(Kind.STARTED, at=3)])
    common = {
        "project": "web",
        "instance": None,
        "unit": "projctl-web.service",
        "invocation": INVOCATION,
        "reason": None,
    }
    assert json.loads(starting.line()) == {"time": 1.0, "event": "starting", **common}
    assert json.loads(ready.line(cursor="s=1")) == {
        "time": 3.0, "event": "ready", **common, "seconds": 2.0, "cursor": "s=1",
    }  # fmt: skip
    assert ready.line().endswith("}\n")
    numbered = ready._replace(instance="web@3", figures={"project": "other", "cpu_seconds": 1.5})
    shown = numbered.as_json()
    assert (shown["project"], shown["instance"], shown["cpu_seconds"]) == ("web", 3, 1.5)


def test_an_end_tells_what_the_run_used() -> None:
    figures = {"idle_seconds": 60.0, "uptime_seconds": 8.5, "cpu_seconds": 0.5, "activity": "bytes"}
    decision = entry(Kind.IDLE_STOP, at=10, result="idle")._replace(figures=figures)
    *_, decided, stopping, stopped = events(
        [entry(Kind.STARTING, at=1), entry(Kind.STARTED, at=2), decision, entry(Kind.STOPPING, at=11),
         entry(Kind.SUCCESS, at=12)]
    )  # fmt: skip
    assert (decided.event, decided.figures) == ("idle_stop", figures)
    assert (stopping.event, stopping.figures) == ("stopping", {})
    assert stopped.figures == {"idle_seconds": 60.0, "cpu_seconds": 0.5, "uptime_seconds": 10.0}


@pytest.mark.parametrize(
    ("more", "reason", "said"),
    [
        ([entry(Kind.STARTED), entry(Kind.EXITED, result="exit status 3"), entry(Kind.FAILURE, result="exit-code")],
         "crash", "exit status 3"),
        ([entry(Kind.FAILURE, result="timeout")], "start_timeout", "not ready in time"),
        ([entry(Kind.STARTED), entry(Kind.STOPPING), entry(Kind.EXITED, result="killed by SIGKILL"),
          entry(Kind.FAILURE, result="timeout")], "stop_timeout", "did not stop in time"),
        ([entry(Kind.FAILURE, result="resources")], "crash", "systemd lacks what it needs to start it"),
        ([entry(Kind.FAILURE, result="strange")], "crash", "strange"),
        ([entry(Kind.EXITED, result="exit status 1"), entry(Kind.EXITED, result="killed by SIGTERM"),
          entry(Kind.FAILURE, result="exit-code")], "crash", "exit status 1"),
    ],
)  # fmt: skip
def test_a_crash_tells_how(more: list[Entry], reason: str, said: str) -> None:
    last = events([entry(Kind.STARTING), *more])[-1]
    assert (last.event, last.reason, last.figures["exit"]) == ("crashed", reason, said)


def join(found: list[Event]) -> list[Event]:
    joining = Joining()
    return [*joining.feed(found), *joining.flush()]


def test_figures_that_come_late_go_with_the_end() -> None:
    run = [entry(Kind.STARTING, at=1), entry(Kind.STARTED, at=2), entry(Kind.FAILURE, at=3, result="signal")]
    ended = entry(Kind.ENDED, at=4)._replace(figures={"cpu_seconds": 0.5, "uptime_seconds": 2.0})
    expected = {"uptime_seconds": 1.0, "cpu_seconds": 0.5, "exit": "signal"}
    other = entry(Kind.STARTING, "c" * 32, at=4)
    found = join(events([*run, other, ended]))
    assert [event.event for event in found] == ["starting", "ready", "crashed", "starting"]
    assert found[2].figures == expected
    (early,) = [event for event in join(events([*run[:2], ended, run[2]])) if event.event == "crashed"]
    assert early.figures == expected


def test_what_systemd_tells_of_a_run_gives_way_to_what_the_agent_tells() -> None:
    run = [entry(Kind.STARTING, at=1), entry(Kind.STARTED, at=2), entry(Kind.SUCCESS, at=3)]
    used = entry(Kind.USED, at=3)._replace(figures={"cpu_seconds": 1.5, "memory_peak_bytes": 7})
    ended = entry(Kind.ENDED, at=4)._replace(figures={"cpu_seconds": 1.4, "bytes_in": 9})
    alone, both = join(events([*run, used]))[-1], join(events([*run, used, ended]))[-1]
    assert alone.figures == {"uptime_seconds": 1.0, "cpu_seconds": 1.5, "memory_peak_bytes": 7}
    assert both.figures == {"uptime_seconds": 1.0, "cpu_seconds": 1.4, "memory_peak_bytes": 7, "bytes_in": 9}
    assert (alone.event, both.event) == ("stopped", "stopped")


def test_what_a_proxy_used_is_not_its_projects() -> None:
    backend = [
        entry(Kind.STARTED)._replace(unit="projctl-web.backend.service"),
        entry(Kind.STARTED, "c" * 32),
    ]
    ends = [entry(Kind.SUCCESS, "c" * 32, at=2), entry(Kind.USED, "c" * 32, at=2)]
    assert [event.event for event in events([*backend, *ends])] == ["starting", "ready"]


def test_an_end_does_not_wait_for_ever() -> None:
    joining = Joining()
    run = [entry(Kind.STARTED, at=2), entry(Kind.FAILURE, at=3), entry(Kind.STARTING, "c" * 32, at=4)]
    found = list(joining.feed(events(run)))
    assert [event.event for event in found] == ["starting", "ready"]
    assert joining.holds
    later = list(joining.feed(events([entry(Kind.STARTED, "d" * 32, at=6)])))
    assert [event.event for event in later] == ["crashed", "starting", "starting", "ready"]
    assert not joining.holds


@given(st.one_of(recorded, anything))
def test_joining_loses_nothing_and_keeps_the_order(entries: list[Entry]) -> None:
    found = [event for event in events(entries) if event.event not in {FIGURES, USED}]
    assert [event._replace(figures={}) for event in join(events(entries))] == [
        event._replace(figures={}) for event in found
    ]


def test_what_is_lost_is_of_the_time_it_was_last_heard_of() -> None:
    other = Entry(Kind.STARTED, "projctl-other.service", "d" * 32, "after", 9_000_000, 9)
    found = events([entry(Kind.STARTED, boot="before", at=4), other])
    assert [(event.event, event.instance, event.time) for event in found] == [
        ("starting", "web", 4.0), ("ready", "web", 4.0), ("stopped", "web", 4.0), ("starting", "other", 9.0),
        ("ready", "other", 9.0),
    ]  # fmt: skip


@given(st.one_of(recorded, anything))
def test_events_say_what_totals_count(entries: list[Entry]) -> None:
    ledger = Ledger()
    found = ledger.feed(entries)
    starts = Counter(event.instance for event in found if event.event == "starting")
    ends = Counter((event.instance, event.reason) for event in found if event.event in ENDS)
    durations = Counter(event.instance for event in found if event.event == "ready" and event.figures)
    for name, totals in ledger.projects.items():
        assert totals.starts == starts[name]
        assert totals.stops == {reason: count for (of, reason), count in ends.items() if of == name}
        assert sum(totals.durations) == durations[name]


@given(st.one_of(recorded, anything), st.lists(st.integers(0, 40)))
def test_any_split_by_cursor_gives_the_same_events(entries: list[Entry], cuts: list[int]) -> None:
    whole = events(entries)
    ledger, pieces, start = Ledger(), list[Event](), 0
    for cut in sorted(min(cut, len(entries)) for cut in [*cuts, len(entries)]):
        pieces += ledger.feed(entries[start:cut])
        ledger, _ = checkpoint.parse(checkpoint.dump(ledger, ""))
        start = cut
    assert pieces == whole


@given(st.one_of(recorded, anything))
def test_a_project_alone_has_the_same_events(entries: list[Entry]) -> None:
    entries = sorted(entries, key=lambda one: one.boot)
    alone = [one for one in entries if one.unit.startswith("projctl-web.")]
    ledger = Ledger()
    found = ledger.feed(alone) + ledger.turn_boot(entries[-1].boot if entries else "")
    assert sorted([event for event in events(entries) if event.project == "web"], key=str) == sorted(
        found, key=str
    )


NOW = datetime(2026, 5, 17, 15, 30, 0, tzinfo=UTC).astimezone()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", 0), ("-1h", 3600), ("+5min", -300), ("90 s ago", 90), ("-1h30m", 5400), ("2 d ago", 172800),
        ("-1w", 604800), ("-1.5s", 1.5), ("-7", 7), ("2026-05-17T15:30:00Z", 0), ("2026-05-17 15:29:59 UTC", 1),
        (f"@{NOW.timestamp():.0f}", 0), (f"{NOW:%Y-%m-%d %H:%M}", 0), (f"{NOW:%H:%M}", 0),
        (f"{NOW:%H:%M:%S.000001}", -0.000001),
    ],
)  # fmt: skip
def test_moments(text: str, ago: float) -> None:
    assert moments.parse(text, NOW) == pytest.approx(NOW.timestamp() - ago, abs=1e-7)


def test_days_begin_at_midnight() -> None:
    days = [datetime.fromtimestamp(moments.parse(word, NOW)) for word in ("yesterday", "today", "tomorrow")]
    assert [day.hour for day in days] == [0, 0, 0]
    assert [(day.date() - NOW.date()).days for day in days] == [-1, 0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-",
        "-1x",
        "1h",
        "@",
        "@nan",
        "@1e300",
        "-1e9",
        "25:00",
        "2026-13-01",
        "ago",
        "99999999y ago",
    ],
)
def test_other_moments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time such as"):
        moments.parse(text, NOW)
