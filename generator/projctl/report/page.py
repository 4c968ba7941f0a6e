"""The report as one self-contained page; pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from projctl.report import charts, figures, markup, text
from projctl.report.markup import tag
from projctl.report.style import SHEET

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from projctl.report.advice import Advice
    from projctl.report.document import Report
    from projctl.report.kpis import Kpi
    from projctl.report.markup import Child
    from projctl.report.projects import Project
#: How many projects that the same is recommended for are shown with its reason.
_ADVICE = 8


def render(report: Report) -> str:
    """The whole document."""
    title = f"projctl report {report.host}".strip()
    return markup.page(
        title, SHEET, _head(report, title), _kpis(report), _charts(report), _advice(report), _use(report),
        _all(report), _foot(),
    )  # fmt: skip


def _head(report: Report, title: str) -> Element:
    begin, end = (figures.moment(time, report.zone) for time in report.asked)
    lines = [tag("p", f"{begin} to {end}", class_="muted")]
    if report.recorded.begin > report.asked.begin:
        since = figures.moment(report.recorded.begin, report.zone)
        lines.append(
            tag("p", f"Records begin at {since}: nothing is said of the time before.", class_="muted")
        )
    return tag("header", tag("h1", title), lines)


def _kpis(report: Report) -> Element:
    return tag("section", tag("h2", "Key figures"), tag("div", map(_kpi, report.kpis), class_="grid"))


def _kpi(kpi: Kpi) -> Element:
    verdict = figures.verdict(kpi)
    value, _, more = figures.kpi(kpi).partition(" (")
    return tag(
        "div",
        tag("h3", kpi.title),
        tag("div", value, class_="value none" if kpi.value is None else "value", data_kpi=kpi.key),
        tag("p", f"({more}", class_="note") if more else None,
        _verdict(verdict, kpi.target) if verdict else None,
        tag("p", kpi.note, class_="note"),
        class_="card",
    )


def _verdict(verdict: str, target: str) -> Element:
    judged = tag("strong", verdict, class_=verdict.replace(" ", "-"))
    return tag("p", judged, " ", tag("span", f"target: {target}", class_="whole"), class_="verdict")


def _advice(report: Report) -> Element:
    kinds = [list(group) for _, group in groupby(report.advice, lambda item: item.text)]
    body = tag("div", map(_kind, kinds), class_="advice") if kinds else tag("p", "Nothing.", class_="muted")
    return tag("section", tag("h2", "Recommendations"), body)


def _kind(items: Sequence[Advice]) -> Element:
    """Projects that the same is recommended for, those that need it most first."""
    shown, rest = items[:_ADVICE], ", ".join(item.subject for item in items[_ADVICE:])
    lines = [
        tag("li", tag("strong", item.subject), ": " if item.subject else "", item.reason) for item in shown
    ]
    more = tag("p", f"The same for {rest}.", class_="note") if rest else None
    title = f"{items[0].text[:1].upper()}{items[0].text[1:]}"
    return tag("div", tag("h3", title), tag("ul", lines), more, class_="card")


def _charts(report: Report) -> Element:
    found, zone = report.series, report.zone
    has_memory = any(bucket.saved_gib is not None for bucket in found.buckets)
    per = f"by {found.step}" if found.step in ("day", "hour") else f"by {found.step}".replace("by ", "every ")
    cards = [
        _chart(
            f"Memory, mean {per}", charts.memory(found, zone) if has_memory else None,
            _key(("used", "needed"), ("saved", "saved against always-on")),
        ),
        _chart(
            f"Starts {per}", charts.starts(found, zone) if any(b.starts for b in found.buckets) else None,
            _key(("used", "good"), ("bad", "failed")),
        ),
        _chart(
            "Cold starts by length", charts.cold(found) if any(found.cold) else None,
            _key(("used", "within the target of 5 s"), ("bad", "longer")),
        ),
        _chart(
            "Ports", charts.ports(report.ranges) if report.ranges else None,
            _key(("used", "projects"), ("other", "held by others"), ("barred", "barred"), ("rest", "free")),
        ),
        _availability(report),
        _chart(
            f"Activity {per}",
            charts.activity(found, report.projects, zone) if any(p.used for p in report.projects) else None,
            _rest(sum(p.used for p in report.projects), "that ran less"),
        ),
    ]  # fmt: skip
    return tag("section", tag("h2", "Charts"), tag("div", cards, class_="charts"))


def _chart(title: str, chart: Element | None, below: Child = None) -> Element:
    shown = (chart, below) if chart is not None else tag("p", figures.NO_DATA, class_="muted")
    return tag("div", tag("h3", title), shown, class_="card")


def _key(*entries: tuple[str, str]) -> Element:
    return tag("p", [tag("span", tag("i", class_=look), word) for look, word in entries], class_="note key")


def _rest(count: int, words: str) -> Element | None:
    more = count - charts.ROWS
    return tag("p", f"and {more} {words}", class_="note") if more > 0 else None


def _availability(report: Report) -> Element:
    known, worst = [p for p in report.projects if p.availability is not None], report.least_available
    title = "Availability by project"
    if not known:
        return _chart(title, None)
    if not worst:
        note = tag("p", f"no outage of {len(known)} projects", class_="note")
        return tag("div", tag("h3", title), note, class_="card")
    note = tag(
        "p",
        f"{len(worst)} of {len(known)} projects had an outage; time out of service beside it",
        class_="note",
    )
    return _chart(title, charts.availability(worst[: charts.ROWS]), note)


def _use(report: Report) -> Element:
    never = [tag("li", project.name) for project in report.never_used]
    return tag(
        "section",
        tag("h2", "Busiest projects"),
        _table(report.busiest) if report.busiest else tag("p", figures.NO_DATA, class_="muted"),
        tag("h2", "Never used"),
        tag("ul", never, class_="names") if never else tag("p", "None.", class_="muted"),
    )


def _all(report: Report) -> Element | None:
    used = [project for project in report.projects if project.used]
    if len(used) <= len(report.busiest):
        return None
    return tag("section", tag("h2", f"All {len(used)} projects that ran"), _table(used))


def _table(projects: Sequence[Project]) -> Element:
    rows = [tag("tr", [tag("td", cell) for cell in text.project(project)]) for project in projects]
    head = tag(
        "thead", tag("tr", [tag("th", column.heading, scope="col") for column in text.PROJECT_COLUMNS])
    )
    return tag("div", tag("table", head, tag("tbody", rows)), class_="scroll card")


def _foot() -> Element:
    return tag(
        "footer",
        tag(
            "p",
            "Every figure is computed from recorded events; docs/report.md says how. What nothing recorded tells is "
            "shown as no data.",
        ),
        class_="note",
    )
