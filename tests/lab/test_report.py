"""The report of a lab against what a script did there: the same starts, stops, faults and times."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import SERVER, apply, projctl, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

NAP = {"stop": "1s", "min_uptime": "1s"}
#: What requests took that a server tells of, in milliseconds: the 19th of 20 decides the p95.
TOOK = [*range(5, 22), 40, 90, 3000]
LOGGED = "; ".join(f"echo answered 200 in {took}" for took in TOOK)
PROJECTS = {
    "blog": server(listen=5001, idle=NAP),
    "shop": server(listen=5002, idle=NAP),
    "wiki": server(listen=5003, idle="1h"),
    "late": server(listen=5004, health=["/bin/false"], start_timeout="1s"),
    "spare": server(listen=5005),
    "chat": server(
        run=["sh", "-c", f"{LOGGED}; exec {sys.executable} {SERVER}"],
        listen=5006,
        idle="1h",
        access_log=r"answered (?P<status>\d+) in (?P<milliseconds>\d+)",
    ),
}


@dataclass
class Record:
    """What the script did, as it saw it: starts and ends by project, and systemd's own times of each start and run."""

    starts: Counter[str] = field(default_factory=Counter)
    ends: dict[str, Counter[str]] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    up: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def started(self, stage: Stage, name: str) -> None:
        # Not InactiveExit: from systemd 254 on a pause before a restart comes after that.
        begun, ready = times(stage, name, "ExecMainStart", "ActiveEnter")
        self.starts[name] += 1
        self.took.append(ready - begun)

    def ended(self, name: str, reason: str, seconds: float | None = None) -> None:
        self.ends.setdefault(name, Counter())[reason] += 1
        if seconds is not None:
            self.up[name] += seconds


def times(stage: Stage, name: str, *changes: str) -> list[float]:
    """When the service last changed so, in seconds."""
    keys = [f"{change}TimestampMonotonic" for change in changes]
    return [value / 1e6 for key in keys for value in stage.show(f"projctl-{name}.service", key)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


@pytest.fixture(scope="module")
def record(stage: Stage) -> Record:
    """Three naps, a crash that systemd mends, a restart by hand, a start that fails; one project is left alone."""
    found = Record()
    apply(stage.lab, PROJECTS)
    stage.write("projctl-late.service.d/once.conf", "[Service]\nRestart=no\n")
    stage.systemctl("daemon-reload")
    for _ in range(3):
        nap(stage, found, "blog")
    crash(stage, found)
    restart(stage, found)
    stage.get(5006)
    found.started(stage, "chat")
    stage.systemctl("start", "projctl-late.service", check=False)
    found.starts["late"] += 1
    begun, ended = times(stage, "late", "InactiveExit", "InactiveEnter")
    found.ended("late", "health", ended - begun)
    return found


def nap(stage: Stage, found: Record, name: str) -> None:
    stage.get(int(PROJECTS[name]["listen"]))
    found.started(stage, name)
    stage.wait_until_asleep(name)
    begun, ended = times(stage, name, "InactiveExit", "InactiveEnter")
    found.ended(name, "idle", ended - begun)


def crash(stage: Stage, found: Record) -> None:
    stage.get(5002)
    found.started(stage, "shop")
    (begun,) = times(stage, "shop", "InactiveExit")
    assert stage.get(5002, "/crash") == ""
    wait_for(
        lambda: times(stage, "shop", "InactiveExit") != [begun] and stage.state("shop") == "active",
        "a new start",
    )
    found.ended("shop", "crash")
    found.started(stage, "shop")
    stage.wait_until_asleep("shop")
    found.ended("shop", "idle")


def restart(stage: Stage, found: Record) -> None:
    stage.get(5003)
    found.started(stage, "wiki")
    projctl(stage.lab, "restart", "wiki")
    found.started(stage, "wiki")
    found.ended("wiki", "manual")


@pytest.fixture(scope="module")
def report(stage: Stage, record: Record) -> dict[str, Any]:
    shown: dict[str, Any] = {}

    def ends_are_told() -> bool:
        shown.update(json.loads(projctl(stage.lab, "report", "--since=-1h", "--json").stdout))
        return {p["name"]: p["stops"] for p in shown["projects"] if p["stops"]} == record.ends

    wait_for(ends_are_told, f"the ends of {record.ends}")
    return shown


def project(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in report["projects"] if found["name"] == name)


def test_starts_and_failed_starts(report: dict[str, Any], record: Record) -> None:
    assert {p["name"]: p["starts"] for p in report["projects"] if p["starts"]} == record.starts
    assert report["kpis"]["failed_starts"]["parts"] == {"failed": 1, "starts": record.starts.total()}
    assert [p["name"] for p in report["projects"] if p["failed"]] == ["late"]


def test_cold_starts_are_as_systemd_timed_them(report: dict[str, Any], record: Record) -> None:
    cold = report["kpis"]["cold_start"]["parts"]
    assert sum(found["starts"] for found in report["series"]["cold_starts"]) == len(record.took)
    assert cold["max"] == pytest.approx(max(record.took), abs=0.05)
    assert cold["p50"] == pytest.approx(sorted(record.took)[len(record.took) // 2], abs=0.05)


def test_times_are_systemds(report: dict[str, Any], record: Record) -> None:
    for name, seconds in record.up.items():
        assert project(report, name)["up_seconds"] == pytest.approx(seconds, abs=0.1)


def test_idle_stops_restarts_and_leaks(report: dict[str, Any], record: Record) -> None:
    idle = sum(reasons["idle"] for reasons in record.ends.values())
    kpis = report["kpis"]
    assert kpis["cleanup"]["parts"] == {"in_time": idle, "due": idle}
    assert kpis["restarts"]["parts"] == {"smooth": 1, "restarts": 1}
    assert (kpis["leaks"]["value"], kpis["leaks"]["met"]) == (0, True)


def test_availability(report: dict[str, Any]) -> None:
    """systemd waits a second before it starts a server again; nobody mends the one that cannot start."""
    there = {p["name"]: p["availability"] for p in report["projects"]}
    assert there["blog"] == there["wiki"] == 1
    assert 0 < there["shop"] < 1 and 0 < there["late"] < 1 and there["spare"] is None
    assert report["kpis"]["availability"]["met"] is False


def test_requests(report: dict[str, Any]) -> None:
    found = report["kpis"]["request_p95"]
    assert found["parts"]["requests"] == project(report, "chat")["requests"] == len(TOOK)
    assert 0.09 <= found["value"] <= 0.1 and found["met"] is True
    assert project(report, "blog")["requests"] is None


def test_memory(report: dict[str, Any]) -> None:
    """The figures of the runs that ended, or of those that go on; what was never up has none."""
    parts = report["kpis"]["memory_saved"]["parts"]
    assert 0 < parts["used_gib_hours"] < parts["always_on_gib_hours"]
    assert {p["name"] for p in report["projects"] if p["memory_bytes"]} == {"blog", "chat", "shop", "wiki"}


def test_who_was_busy_and_who_not(report: dict[str, Any], record: Record) -> None:
    assert report["busiest"][0] == record.starts.most_common(1)[0][0] == "blog"
    assert report["never_used"] == ["spare"]
    assert report["kpis"]["active_projects"]["parts"] == {"active": 5, "total": 6}
    assert report["ports"][0]["used"] == len(PROJECTS)


def test_text_and_page(stage: Stage, record: Record) -> None:
    shown = projctl(stage.lab, "report", "--since=-1h").stdout
    assert f"\nblog\t{record.starts['blog']}\t0\t" in shown and "\nnever used: spare\n" in shown
    projctl(stage.lab, "report", "--html", "-o", "/root/report.html")
    page = stage.lab.run(["cat", "/root/report.html"]).stdout
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--since=soon"], 1, 'must be a time: "soon"'),
        (["--since=tomorrow"], 1, "--since must be before --until and before now"),
        (["--json", "--html"], 2, "exclude each other"),
    ],
)
def test_what_cannot_be_reported(stage: Stage, words: list[str], status: int, said: str) -> None:
    done = projctl(stage.lab, "report", *words, check=False)
    assert (done.returncode, done.stdout) == (status, "") and said in done.stderr
