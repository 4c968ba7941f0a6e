"""The report as data, and the JSON that programs read; pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from projctl.report import advice, history, kpis, projects, series, servers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from projctl.portlist import RangeUse
    from projctl.report.advice import Advice
    from projctl.report.events import Event
    from projctl.report.kpis import Kpi
    from projctl.report.projects import Project
    from projctl.report.series import Series
    from projctl.report.servers import Facts
    from projctl.report.spans import Span

VERSION = 1
#: How many projects are named as the busiest.
_BUSIEST = 10


@dataclass(frozen=True)
class Report:
    """`asked` is the window that was wanted, `recorded` the part of it that there are records of."""

    asked: Span
    recorded: Span
    kpis: tuple[Kpi, ...]
    projects: tuple[Project, ...]
    ranges: tuple[RangeUse, ...] | None
    advice: tuple[Advice, ...]
    series: Series
    zone: tzinfo
    host: str

    @property
    def busiest(self) -> list[Project]:
        """Those that were started most often, then those that ran longest."""
        used = [project for project in self.projects if project.used]
        return sorted(used, key=lambda p: (-p.starts, -p.up_seconds, p.name))[:_BUSIEST]

    @property
    def least_available(self) -> list[Project]:
        """Projects that were out of service, worst first."""
        known = [
            (p.availability, p) for p in self.projects if p.availability is not None and p.availability < 1
        ]
        return [project for _, project in sorted(known, key=lambda item: (item[0], item[1].name))]

    @property
    def never_used(self) -> list[Project]:
        """Installed projects that did not run."""
        return [project for project in self.projects if project.installed and not project.used]


def build(events: Iterable[Event], facts: Facts) -> Report:
    """Everything from the events of the window and what else is known."""
    told = history.tell(events, facts.window)
    found = servers.measure(told, facts)
    window = servers.recorded(told.values(), facts)
    installed = {name.partition("@")[0] for name in facts.installed}
    return Report(
        facts.window,
        window,
        tuple(kpis.compute(found, len(installed))),
        tuple(projects.summarise(found)),
        facts.ranges,
        tuple(advice.give(found, facts.ranges or ())),
        series.compute(found, window, facts.zone),
        facts.zone,
        facts.host,
    )


def as_json(report: Report) -> dict[str, Any]:
    """The object that `report --json` prints; docs/report.md says what is in it."""
    return {
        "version": VERSION,
        "host": report.host,
        "asked": report.asked._asdict(),
        "recorded": report.recorded._asdict(),
        "kpis": {kpi.key: _kpi(kpi) for kpi in report.kpis},
        "projects": [asdict(project) for project in report.projects],
        "busiest": [project.name for project in report.busiest],
        "never_used": [project.name for project in report.never_used],
        "ports": None if report.ranges is None else [use.as_json() for use in report.ranges],
        "recommendations": [asdict(item) for item in report.advice],
        "series": _series(report.series),
    }


def _kpi(kpi: Kpi) -> dict[str, Any]:
    return {key: value for key, value in asdict(kpi).items() if key != "key"}


def _series(found: Series) -> dict[str, Any]:
    buckets = [asdict(bucket) | bucket.span._asdict() for bucket in found.buckets]
    for bucket in buckets:
        del bucket["span"]
    bounds = [*series.CLASSES, None]
    cold = [{"up_to_seconds": b, "starts": n} for b, n in zip(bounds, found.cold, strict=True)]
    return {"step": found.step, "buckets": buckets, "cold_starts": cold, "activity": found.activity}
