"""The report as lines and tables of text; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl.diagnostics import one_line
from projctl.listing import size, span
from projctl.report import figures
from projctl.table import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl.report.document import Report
    from projctl.report.projects import Project

KPI_COLUMNS = (
    Column("FIGURE"), Column("VALUE", least=12), Column("TARGET", rank=1), Column("VERDICT"),
    Column("FROM", rank=2, least=40),
)  # fmt: skip
VERDICT = 3
#: How many projects that were out of service are named.
_LEAST_AVAILABLE = 10
PROJECT_COLUMNS = (
    Column("PROJECT", least=16), Column("STARTS", right=True), Column("FAILED", right=True, rank=3),
    Column("RAN", right=True, rank=1), Column("MEMORY", right=True, rank=4), Column("SAVED", right=True, rank=5),
    Column("COLD P95", right=True, rank=6), Column("AVAILABILITY", right=True, rank=2),
    Column("DATA", right=True, rank=7),
)  # fmt: skip
OUTAGE_COLUMNS = (
    Column("PROJECT", least=16), Column("AVAILABILITY", right=True), Column("OUT OF SERVICE", right=True),
    Column("LAST FAULT", rank=1, least=12),
)  # fmt: skip
PORT_COLUMNS = (
    Column("RANGE"), Column("FOR", rank=1), Column("USED", right=True), Column("FREE", right=True),
    Column("UTILISATION", right=True),
)  # fmt: skip


def plain(report: Report) -> str:
    """All of it, cells separated by tabs."""
    lines = head(report)
    for heading, columns, rows in tables(report):
        lines += ["", heading] if heading else [""]
        lines += ["\t".join(cells) for cells in ([column.heading for column in columns], *rows)]
    return "".join(f"{line}\n" for line in [*lines, *remarks(report)])


def tables(report: Report) -> list[tuple[str, Sequence[Column], list[tuple[str, ...]]]]:
    """Heading, columns and rows of each table; those without rows are left out."""
    every = [
        ("", KPI_COLUMNS, kpis(report)),
        ("busiest", PROJECT_COLUMNS, busiest(report)),
        ("least available", OUTAGE_COLUMNS, least_available(report)),
        ("ports", PORT_COLUMNS, ports(report)),
    ]
    return [table for table in every if table[2]]


def remarks(report: Report) -> list[str]:
    """What comes after the tables."""
    told = advice(report) or ["none"]
    return ["", f"never used: {never_used(report)}", "", "recommendations", *told]


def head(report: Report) -> list[str]:
    """What the report is about."""
    begin, end = (figures.moment(time, report.zone) for time in report.asked)
    lines = [f"{begin} to {end}"]
    if report.recorded.begin > report.asked.begin:
        lines.append(f"records begin at {figures.moment(report.recorded.begin, report.zone)}")
    return lines


def kpis(report: Report) -> list[tuple[str, ...]]:
    """A row for each figure."""
    return [
        (kpi.title, figures.kpi(kpi), kpi.target or "-", figures.verdict(kpi) or "-", kpi.note)
        for kpi in report.kpis
    ]


def busiest(report: Report) -> list[tuple[str, ...]]:
    """A row for each of the busiest projects."""
    return [project(one) for one in report.busiest]


def least_available(report: Report) -> list[tuple[str, ...]]:
    """A row for each of the projects that were out of service, worst first."""
    return [
        (
            one_line(found.name),
            figures.percent(found.availability or 0.0, 3),
            span(found.unavailable_seconds),
            one_line(found.exits[0]) if found.exits else "-",
        )
        for found in report.least_available[:_LEAST_AVAILABLE]
    ]


def project(found: Project) -> tuple[str, ...]:
    """The cells of one project, `-` for what is not known."""
    known = found.availability
    return (
        one_line(found.name) + ("" if found.installed else " (removed)"),
        str(found.starts),
        str(found.failed),
        span(found.up_seconds),
        size(_whole(found.memory_bytes)),
        "-" if found.saved_gib_hours is None else figures.gib_hours(found.saved_gib_hours),
        "-" if found.cold_p95 is None else figures.seconds(found.cold_p95),
        "-" if known is None else figures.percent(known, 3),
        size(_whole(found.bytes)),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def ports(report: Report) -> list[tuple[str, ...]]:
    """A row for each range of ports."""
    return [
        (f"{u.first}-{u.last}", u.kind, str(u.used), str(u.free), figures.percent(u.utilisation))
        for u in report.ranges or ()
    ]


def never_used(report: Report) -> str:
    """The projects that did not run, in one line."""
    return one_line(", ".join(project.name for project in report.never_used)) or "none"


def advice(report: Report) -> list[str]:
    """A line for each recommendation."""
    return [
        one_line(f"{item.subject + ': ' if item.subject else ''}{item.text}: {item.reason}")
        for item in report.advice
    ]
