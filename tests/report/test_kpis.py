"""Every figure of a history made by hand, computed with a pencil in the comments."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

import pytest
from report_fleet import DAY, GIB, HOUR, T0, by_hand, line, run

from projctl.diagnostics import ProjctlError
from projctl.portlist import RangeUse
from projctl.report import document, events, requests
from projctl.report.requests import Requests
from projctl.report.servers import Facts, Live, Settings
from projctl.report.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projctl.report.document import Report
    from projctl.report.kpis import Kpi
    from projctl.report.projects import Project

NAMES = ("blog", "maint", "nap", "shop@0", "shop@1")
WINDOW = Span(T0, T0 + 2 * DAY)
RANGES = (
    RangeUse("ports", 5001, 5010, 10, 6, 2, 0, 2),
    RangeUse("backend_ports", 7001, 7010, 10, 1, 0, 0, 9),
)


def facts(names: Iterable[str] = NAMES, **more: object) -> Facts:
    """Installed for long, idle after an hour."""
    given = {
        "window": WINDOW,
        "installed": {name: Settings(3600.0, 60.0, None) for name in names},
        "since": dict.fromkeys(names, T0 - 90 * DAY),
        "complete": True,
        "ranges": RANGES,
        "zone": UTC,
    }
    return Facts(**(given | more))  # type: ignore[arg-type]


def build(lines: Iterable[str], known: Facts | None = None) -> Report:
    return document.build(events.parse(lines), known or facts())


def kpi(report: Report, key: str) -> Kpi:
    return next(found for found in report.kpis if found.key == key)


def project(report: Report, name: str) -> Project:
    return next(found for found in report.projects if found.name == name)


@pytest.fixture(scope="module")
def report() -> Report:
    return build(by_hand())


def test_memory_saved_against_always_on(report: Report) -> None:
    # blog: 1 GiB, two hours each day it ran:          always 48, used 4
    # maint: 0.5 GiB, 6 of 48 hours taken down:        always 42 / 2 = 21, used 1.5 / 2 = 0.75
    # shop@0: 2 GiB all the time:                      always 96, used 96
    # shop@1: 1 GiB for 3600 and 3601 s, 3 GiB for 3560 s (11:00:40 to 12:00), no figure for the 30 s that failed:
    mean = (3600 + 3601 + 3 * 3560) / 10761
    always = 48 + 21 + 96 + 48 * mean
    used = 4 + 0.75 + 96 + (3600 + 3601 + 3 * 3560 + 30 * mean) / 3600
    saved = kpi(report, "memory_saved")
    assert saved.parts == {
        "always_on_gib_hours": pytest.approx(always),
        "used_gib_hours": pytest.approx(used),
    }
    assert saved.value == pytest.approx(always - used) == pytest.approx(139.0276, abs=1e-3)
    share = kpi(report, "memory_saved_share")
    assert (share.value, share.met) == (pytest.approx((always - used) / always), False)
    assert saved.note == "against always-on; 4 of 5 servers with a memory figure"  # nap never ran
    assert project(report, "blog").saved_gib_hours == pytest.approx(44)
    assert project(report, "shop").saved_gib_hours == pytest.approx(48 * mean - (17881 + 30 * mean) / 3600)


def test_active_projects(report: Report) -> None:
    active = kpi(report, "active_projects")
    assert (active.value, active.parts) == (0.75, {"active": 3, "total": 4})
    assert [found.name for found in report.never_used] == ["nap"]


def test_cold_starts(report: Report) -> None:
    # 0.25 0.5 1 1 2 4 6; the start of maint that was made ahead (9 s) is none, the one that failed has no length
    cold = kpi(report, "cold_start")
    assert (cold.value, cold.parts, cold.met) == (6.0, {"p50": 1.0, "p95": 6.0, "max": 6.0}, False)
    assert sum(report.series.cold) == 7


def test_a_server_that_ran_when_its_warm_hours_began_starts_cold_after_them() -> None:
    lines = [
        *run("blog", "x", 0, 1.0, 2 * HOUR),
        line(HOUR, "warm", "blog"),
        *run("blog", "y", 3 * HOUR, 2.0, 4 * HOUR),
        line(5 * HOUR - 1, "warm", "blog"),
        *run("blog", "z", 5 * HOUR, 3.0, 6 * HOUR),
    ]
    assert (
        kpi(build(sorted(lines, key=lambda text: json.loads(text)["time"])), "cold_start").parts["max"] == 2.0
    )


def test_failed_starts(report: Report) -> None:
    # blog 2, shop@0 1, shop@1 4 of which one never became ready, maint 2
    failed = kpi(report, "failed_starts")
    assert (failed.parts, failed.value, failed.met) == ({"failed": 1, "starts": 9}, 1 / 9, False)


def test_availability(report: Report) -> None:
    # shop@1 from 11:00:00 to 11:00:46 and from 12:00:00 to 12:00:02; maint was taken down for 6 hours
    there = 3 * 48 * HOUR + 42 * HOUR
    found = kpi(report, "availability")
    assert found.parts == {"unavailable_seconds": pytest.approx(48)}
    assert (found.value, found.met) == (pytest.approx(1 - 48 / there), True)
    assert project(report, "shop").availability == pytest.approx(1 - 48 / (96 * HOUR))
    assert project(report, "blog").availability == 1
    assert project(report, "nap").availability is None


def test_idle_servers_stopped_in_time(report: Report) -> None:
    cleanup = kpi(report, "cleanup")
    assert (cleanup.value, cleanup.parts, cleanup.met) == (0.5, {"in_time": 1, "due": 2}, False)


@pytest.mark.parametrize(
    ("reason", "idle", "verdict"),
    [
        ("idle", 3600.0, (1, 1)),
        ("idle", 3960.0, (1, 1)),  # a tenth late
        ("idle", 3961.0, (0, 1)),
        ("manual", 3000.0, (0, 0)),  # somebody was first
        ("manual", 3700.0, (0, 0)),
        ("manual", 9000.0, (0, 1)),  # nobody was there to stop it
        ("crash", 9000.0, (0, 1)),
    ],
)
def test_what_is_in_time(reason: str, idle: float, verdict: tuple[int, int]) -> None:
    found = kpi(build(run("blog", "x", 0, 1.0, 4 * HOUR, reason, idle_seconds=idle)), "cleanup")
    assert (found.parts["in_time"], found.parts["due"]) == verdict


@pytest.mark.parametrize(("idle", "due"), [(None, 0), (60.0, 0), (9000.0, 1)])
def test_a_server_that_runs_on_unused_is_not_stopped_in_time(idle: float | None, due: int) -> None:
    found = kpi(build([], facts(live={"blog": Live(T0, None, idle)})), "cleanup")
    assert found.parts == {"in_time": 0, "due": due}


def test_leaks(report: Report) -> None:
    assert (kpi(report, "leaks").value, kpi(report, "leaks").met) == (1, False)


def test_restarts(report: Report) -> None:
    # shop@0 alone: stopped by hand and started at once
    assert kpi(report, "restarts").parts == {"smooth": 1, "restarts": 1}


def test_busiest(report: Report) -> None:
    # 5, 2 and 2 starts; blog ran for 4 hours, maint for 1.5
    assert [found.name for found in report.busiest] == ["shop", "blog", "maint"]


def test_projects(report: Report) -> None:
    shop = project(report, "shop")
    assert shop.stops == {"crash": 1, "exit": 1, "manual": 1, "oom": 1, "start_timeout": 1}
    assert shop.up_seconds == 48 * HOUR + 3600 + 30 + 3560 + 3601
    assert shop.exits == ("oom", "not ready in time", "killed by SIGSEGV")
    assert (shop.starts, shop.failed, shop.cold_p95) == (5, 1, 6.0)


def test_series(report: Report) -> None:
    found = report.series
    assert (found.step, len(found.buckets)) == ("hour", 48)
    assert sum(bucket.starts for bucket in found.buckets) == 9
    assert [i for i, bucket in enumerate(found.buckets) if bucket.failed] == [11]
    # each bucket is an hour, so its mean in GiB is its GiB·h
    assert sum(bucket.saved_gib or 0 for bucket in found.buckets) == pytest.approx(
        kpi(report, "memory_saved").value
    )
    # at 6:00 on the first day blog ran for the whole hour, maint slept
    assert found.activity["blog"][6:9] == (1, 1, 0)
    assert found.activity["shop"][13] == pytest.approx((1 + 2 / 3600) / 2)


def test_requests() -> None:
    # 100 requests: 90 within 20 ms, then 4 within 100 ms; the 95th is one of the six within 2 s
    logs = requests.parse(
        [
            '{"project": "blog", "instance": null, "codes": {"200": 58, "404": 2}, "seconds": [[0.02, 60]]}',
            '{"project": "shop", "instance": 1, "codes": {"200": 40}, "seconds": [[2.0, 6], [0.1, 4], [0.02, 30]]}',
            '{"project": "nap", "instance": null, "codes": {"200": 9}, "seconds": []}',
        ]
    )
    report = build(by_hand(), facts(requests=logs))
    found = kpi(report, "request_p95")
    assert (found.value, found.met, found.parts) == (2.0, False, {"requests": 100, "p50": 0.02})
    assert found.note == "100 requests in the access logs of 2 servers"
    assert [(p.name, p.requests) for p in report.projects] == [
        ("blog", 60),
        ("maint", None),
        ("nap", 9),
        ("shop", 40),
    ]
    met = kpi(
        build(by_hand(), facts(requests={"blog": Requests({"200": 20}, [(0.1, 19), (2.0, 1)])})),
        "request_p95",
    )
    assert (met.value, met.met) == (0.1, True)


@pytest.mark.parametrize(
    "line", ["{", "{}", "[]", '{"project": "a", "instance": null, "codes": {}, "seconds": [[null, 1]]}']
)
def test_what_is_no_summary_of_requests_is_refused(line: str) -> None:
    with pytest.raises(ProjctlError, match="cannot read what requests took"):
        requests.parse([line])


def test_nothing_recorded_is_no_data() -> None:
    report = build([])
    values = {found.key: found.value for found in report.kpis}
    assert values.pop("active_projects") == 0
    assert set(values.values()) == {None}
    assert {found.met for found in report.kpis} == {None}
    assert json.dumps(document.as_json(build([], facts((), ranges=None))), allow_nan=False)


def test_no_leak_means_something_only_where_an_agent_was_at_work() -> None:
    alone = run("blog", "x", HOUR, 1.0, 2 * HOUR, "exit")
    assert kpi(build(alone), "leaks").value is None
    assert kpi(build(run("blog", "x", HOUR, 1.0, 2 * HOUR)), "leaks").value == 0


def test_a_server_that_has_run_all_along_without_an_event_counts() -> None:
    live = {"blog": Live(T0 - DAY, 2.0 * GIB)}
    report = build(run("maint", "m", 0, 1.0, HOUR, memory_bytes=GIB), facts(live=live))
    assert kpi(report, "memory_saved").parts == {"always_on_gib_hours": 48 * 3, "used_gib_hours": 48 * 2 + 1}
    assert project(report, "blog").up_seconds == 2 * DAY


def test_without_older_records_the_window_begins_with_the_first_event() -> None:
    report = build(run("blog", "x", 24 * HOUR, 1.0, 25 * HOUR, memory_bytes=GIB), facts(complete=False))
    assert report.recorded == Span(T0 + DAY, T0 + 2 * DAY)
    assert kpi(report, "memory_saved").value == pytest.approx(23)


def test_a_server_counts_from_when_it_was_there() -> None:
    known = facts(since={"blog": T0 + 12 * HOUR})
    report = build(run("blog", "x", 24 * HOUR, 1.0, 25 * HOUR, memory_bytes=GIB), known)
    assert kpi(report, "memory_saved").value == pytest.approx(35)


def test_a_server_that_was_taken_down_before_the_window_counts_from_when_it_came_up() -> None:
    report = build(
        [line(40 * HOUR, "up", "blog"), *run("blog", "x", 46 * HOUR, 1.0, 47 * HOUR, memory_bytes=GIB)]
    )
    assert kpi(report, "memory_saved").value == pytest.approx(7)


def test_a_project_that_is_gone_counts_until_its_last_event() -> None:
    report = build(run("old", "x", 24 * HOUR, 1.0, 25 * HOUR, memory_bytes=GIB))
    assert kpi(report, "memory_saved").value == pytest.approx(0)
    assert kpi(report, "active_projects").parts == {"active": 0, "total": 4}
    assert not project(report, "old").installed


def lost_restart(*between: str, reason: str = "apply", end: float = HOUR, new: float = HOUR + 1) -> list[str]:
    return [
        *run("blog", "x", 0, 1.0, end, reason),
        *between,
        *run("blog", "y", new, 1.0, new + HOUR),
    ]


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (lost_restart(), (1, 1)),
        (lost_restart(reason="stop_timeout"), (0, 1)),
        (lost_restart(line(HOUR + 0.5, "rearmed", "blog")), (0, 1)),
        (lost_restart(line(HOUR + 0.2, "down", "blog"), line(HOUR + 0.8, "up", "blog")), (0, 1)),
        (lost_restart(new=HOUR + 600), (0, 0)),  # a stop, and later a start
        (lost_restart(reason="idle"), (0, 0)),
        (lost_restart(reason="crash"), (0, 0)),
        (
            [*run("blog", "x", 0, 1.0, HOUR, "apply"), line(HOUR + 1, "starting", "blog", "y"),
             line(HOUR + 9, "crashed", "blog", "y", "crash")],
            (0, 1),
        ),
    ],
)  # fmt: skip
def test_what_speaks_against_a_restart(lines: list[str], verdict: tuple[int, int]) -> None:
    parts = kpi(build(lines), "restarts").parts
    assert (parts["smooth"], parts["restarts"]) == verdict


def crashed(time: float, invocation: str) -> list[str]:
    return [
        line(time, "starting", "blog", invocation),
        line(time + 9, "crashed", "blog", invocation, "crash"),
    ]


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (crashed(HOUR, "x"), 47 * HOUR),  # until the end of the window
        ([*crashed(HOUR, "x"), *crashed(HOUR + 60, "y"), *run("blog", "z", HOUR + 100, 5.0, 2 * HOUR)], 105),
        ([*crashed(HOUR, "x"), line(HOUR + 60, "rearmed", "blog")], 60),
        ([*crashed(HOUR, "x"), line(HOUR + 30, "down", "blog")], 30),
        # a probe found it ill, and it was stopped for that
        (
            [
                *run("blog", "x", 0, 1.0, HOUR, "manual")[:-1],
                line(HOUR, "crashed", "blog", "x", "health"),
                *run("blog", "y", HOUR + 5, 2.0, 2 * HOUR),
            ],
            7,
        ),
        # what was being stopped anyway leaves the socket open
        ([*run("blog", "x", 0, 1.0, HOUR, "manual")[:-1], line(HOUR, "crashed", "blog", "x", "crash")], 0),
        (run("blog", "x", 0, 1.0, HOUR, "max_runtime"), 0),
        # a socket that systemd gave up, since its server took no connection
        ([*run("blog", "x", 0, 1.0, HOUR, "exit"), line(HOUR + 40, "rearmed", "blog")], 40),
    ],
)
def test_what_counts_as_an_outage(lines: list[str], seconds: float) -> None:
    assert kpi(build(lines), "availability").parts["unavailable_seconds"] == pytest.approx(seconds)


@pytest.mark.parametrize(("seconds", "met"), [(172, True), (173, False)])
def test_the_target_of_availability(seconds: int, met: bool) -> None:
    """0.1 % of two days are 172.8 seconds."""
    outage = [*run("blog", "x", 0, 1.0, HOUR, "crash"), *run("blog", "y", HOUR + 1, seconds - 1.0, 2 * HOUR)]
    assert kpi(build(outage), "availability").met is met


def test_a_project_that_is_gone_is_not_one_that_nobody_uses() -> None:
    assert [found.name for found in build([line(0, "apply", "old")]).never_used] == [
        "blog",
        "maint",
        "nap",
        "shop",
    ]


def test_a_run_whose_end_nothing_tells_ends_when_it_was_last_heard_of() -> None:
    lines = [
        *run("blog", "x", 0, 1.0, HOUR)[:2],
        *run("blog", "y", 3 * HOUR, 1.0, 4 * HOUR),
        line(1.0, "stopped", "blog", "x", "lost"),
    ]
    assert project(build(lines), "blog").up_seconds == pytest.approx(HOUR + 1)


def test_what_comes_after_the_window_tells_only_of_runs_that_had_begun() -> None:
    end = 2 * DAY
    lines = [
        *run("blog", "x", end - HOUR, 1.0, end + HOUR, memory_bytes=GIB),
        # began before the window
        line(end + HOUR, "stopped", "maint", "y", "exit", uptime_seconds=3 * DAY, memory_bytes=GIB),
        *run("shop@0", "z", end + HOUR, 9.0, end + 2 * HOUR, "crash"),
        line(end + HOUR, "leak", "blog"),
    ]
    report = build(lines)
    assert kpi(report, "memory_saved").parts["used_gib_hours"] == pytest.approx(49)
    assert kpi(report, "failed_starts").parts == {"failed": 0, "starts": 1}
    assert project(report, "blog").stops == {}
    assert kpi(report, "leaks").value == 0
    assert not project(report, "shop").used


def test_late_only_after_the_minimum_uptime() -> None:
    known = facts(installed={"blog": Settings(60.0, 7000.0, None)})
    report = build(run("blog", "x", 0, 1.0, 7004.0), known)  # 3600 s idle, but due only after 7000 s up
    assert kpi(report, "cleanup").parts == {"in_time": 1, "due": 1}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"time": "x", "event": "ready", "project": "a"}'])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(ProjctlError, match="cannot read event 2"):
        list(events.parse([line(0, "starting", "blog"), text]))


def test_figures_that_cannot_be_are_left_out() -> None:
    (event,) = events.parse(
        [line(0, "stopped", "blog", memory_bytes=-1, cpu_seconds=True, uptime_seconds="4")]
    )
    assert event.figures == {}
