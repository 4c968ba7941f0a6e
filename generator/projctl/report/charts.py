"""The charts of the report as SVG; pure. Each one's figures stand in titles, too, which browsers show as hints."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from projctl.listing import span
from projctl.report import figures
from projctl.report.markup import tag
from projctl.report.series import CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo
    from xml.etree.ElementTree import Element

    from projctl.portlist import RangeUse
    from projctl.report.markup import Child
    from projctl.report.projects import Project
    from projctl.report.series import Bucket, Series

_WIDTH, _HEIGHT = 640.0, 220.0
_LEFT, _BOTTOM, _TOP = 54.0, 26.0, 10.0
#: Rows of charts that have one for each project.
ROWS = 24
_ROW = 18.0
_NAME = 150.0
_LETTERS = 22
#: How long bars with a figure behind them may be.
_BARS = _WIDTH - _NAME - 140
_TARGET = 0.999
_WIDEST = 80.0

_KINDS = {"ports": "", "backend_ports": " backend", "listen": " listen"}

#: What a column consists of: class, height and hint of each part, from the bottom.
Part = tuple[str, float, str]


def memory(series: Series, zone: tzinfo) -> Element:
    """Mean memory by bucket: needed below, saved above."""
    columns = [
        [
            ("used", bucket.used_gib or 0, f"{_when(bucket, zone)}: needed {bucket.used_gib or 0:.2f} GiB"),
            ("saved", bucket.saved_gib or 0, f"{_when(bucket, zone)}: saved {bucket.saved_gib or 0:.2f} GiB"),
        ]
        for bucket in series.buckets
    ]
    return _columns("Memory needed and saved", columns, _dates(series, zone), "GiB")


def starts(series: Series, zone: tzinfo) -> Element:
    """Starts by bucket, failed ones on top."""
    columns: list[list[Part]] = []
    for bucket in series.buckets:
        when = _when(bucket, zone)
        good = bucket.starts - bucket.failed
        columns.append(
            [
                ("used", good, f"{when}: {good} good"),
                ("bad", bucket.failed, f"{when}: {bucket.failed} failed"),
            ]
        )
    return _columns("Starts", columns, _dates(series, zone))


def cold(series: Series) -> Element:
    """How many cold starts took how long; what misses the target is marked."""
    names = [*(f"≤ {bound:g} s" for bound in CLASSES), "longer"]
    bounds = [*CLASSES, math.inf]
    columns: list[list[Part]] = [
        [("used" if bound <= 5 else "bad", count, f"{name}: {count}")]
        for name, bound, count in zip(names, bounds, series.cold, strict=True)
    ]
    return _columns("Cold starts by length", columns, list(enumerate(names)))


def _when(bucket: Bucket, zone: tzinfo) -> str:
    return figures.moment(bucket.span.begin, zone)


def _dates(series: Series, zone: tzinfo) -> list[tuple[int, str]]:
    """At most eight labels: days, and between them round hours."""
    begins = [datetime.fromtimestamp(bucket.span.begin, zone) for bucket in series.buckets]
    if series.step != "hour":
        every = max(1, -(-len(begins) // 8))
        return [(i, f"{begin:%d %b}") for i, begin in enumerate(begins) if i % every == 0]
    every = next((hours for hours in (1, 2, 3, 4, 6, 12) if len(begins) <= 8 * hours), 12)
    return [
        (i, f"{begin:%H:%M}" if begin.hour else f"{begin:%d %b}")
        for i, begin in enumerate(begins)
        if begin.hour % every == 0
    ]


def _columns(
    name: str, columns: Sequence[Sequence[Part]], labels: Sequence[tuple[int, str]], unit: str = ""
) -> Element:
    top, step = _scale(
        max((sum(part[1] for part in column) for column in columns), default=0), whole=not unit
    )
    room = _HEIGHT - _BOTTOM - _TOP
    pitch = (_WIDTH - _LEFT) / max(1, len(columns))
    lines = [
        _grid_line(_HEIGHT - _BOTTOM - room * i * step / top, i * step, unit)
        for i in range(round(top / step) + 1)
    ]
    width = min(0.8 * pitch, _WIDEST)
    bars = []
    for place, column in enumerate(columns):
        y = _HEIGHT - _BOTTOM
        for class_, value, hint in column:
            height = room * max(0.0, value) / top
            y -= height
            x = _LEFT + (place + 0.5) * pitch - width / 2
            if height:
                hinted = tag("title", hint)
                bars.append(tag("rect", hinted, x=x, y=y, width=width, height=height, class_=class_))
    under = [
        tag("text", text, x=_LEFT + (place + 0.5) * pitch, y=_HEIGHT - 8, class_="middle")
        for place, text in labels
    ]
    return _svg(name, _HEIGHT, lines, bars, under)


def _grid_line(y: float, value: float, unit: str) -> list[Element]:
    return [
        tag("line", x1=_LEFT, x2=_WIDTH, y1=y, y2=y, class_="grid-line"),
        tag("text", f"{value:g}{f' {unit}' if unit and value else ''}", x=_LEFT - 6, y=y + 4, class_="end"),
    ]


def _scale(most: float, *, whole: bool) -> tuple[float, float]:
    """The top of an axis and the step of its lines: 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return 1.0, 1.0
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    return math.ceil(most / step - 1e-9) * step, step


def availability(worst: Sequence[Project]) -> Element:
    """Projects that were out of service, worst first."""
    shares = [project.availability or 0.0 for project in worst]
    low = next((bound for bound in (0.999, 0.99, 0.95, 0.9, 0.5) if shares[0] > bound), 0.0)
    rows = [
        _available(share, project, 20 + i * _ROW, low)
        for i, (share, project) in enumerate(zip(shares, worst, strict=True))
    ]
    height = 24 + len(worst) * _ROW
    scale = [
        tag("text", figures.percent(low), x=_NAME, y=12),
        tag("text", "100 %", x=_NAME + _BARS, y=12, class_="end"),
    ]
    return _svg("Availability by project, worst first", height, scale, rows, _target(low, height))


def _available(share: float, project: Project, y: float, low: float) -> list[Element]:
    """The row of a project; the bar begins at `low`."""
    text = f"{figures.percent(share, 3)}, {span(project.unavailable_seconds)}"
    length = _BARS * (share - low) / (1 - low)
    hint = tag("title", f"{project.name}: {text}")
    look = "ok" if share > _TARGET else "bad"
    return [
        _row_name(project.name, y),
        tag("rect", x=_NAME, y=y + 3, width=_BARS, height=_ROW - 6, class_="rest"),
        tag("rect", hint, x=_NAME, y=y + 3, width=length, height=_ROW - 6, class_=look),
        tag("text", text, x=_NAME + _BARS + 8, y=y + 13),
    ]


def _target(low: float, height: float) -> list[Element]:
    """The line of what is aimed at, where it lies on the scale."""
    if low >= _TARGET:
        return []
    at = _NAME + _BARS * (_TARGET - low) / (1 - low)
    hint = tag("title", f"target: {figures.percent(_TARGET)}")
    return [tag("line", hint, x1=at, x2=at, y1=18, y2=height - 4, class_="target")]


def activity(series: Series, projects: Sequence[Project], zone: tzinfo) -> Element:
    """When projects ran, those that ran longest first: the darker, the larger the share of the time."""
    ranked = sorted((p for p in projects if p.used), key=lambda p: (-p.up_seconds, p.name))[:ROWS]
    pitch = (_WIDTH - _NAME) / max(1, len(series.buckets))
    cells: list[Element] = []
    for place, project in enumerate(ranked):
        cells.append(_row_name(project.name, place * _ROW))
        for i, share in enumerate(series.activity.get(project.name, ())):
            when = _when(series.buckets[i], zone)
            hint = tag("title", f"{project.name}, {when}: {figures.percent(share)} of the time")
            place_x, width = _NAME + i * pitch + 0.5, max(0.5, pitch - 1)
            look = (
                {"class_": "heat", "fill_opacity": 0.2 + 0.8 * math.sqrt(share)}
                if share
                else {"class_": "rest"}
            )
            cells.append(
                tag("rect", hint, x=place_x, y=place * _ROW + 2, width=width, height=_ROW - 4, **look)
            )
    y = len(ranked) * _ROW + 14
    labels = [
        tag("text", text, x=_NAME + (place + 0.5) * pitch, y=y, class_="middle")
        for place, text in _dates(series, zone)
    ]
    return _svg("Activity by project", y + 8, cells, labels)


def ports(ranges: Sequence[RangeUse]) -> Element:
    """How full each range is."""
    rows = []
    for place, use in enumerate(ranges):
        y, x = place * (_ROW + 4), _NAME
        rows.append(_row_name(f"{use.first}-{use.last}{_KINDS[use.kind]}", y))
        for class_, count, word in (
            ("used", use.used, "used by projects"), ("other", use.others, "held by others"),
            ("barred", use.barred, "barred"), ("rest", use.free, "free"),
        ):  # fmt: skip
            width = _BARS * count / use.total
            if width:
                hint = tag("title", f"{use.first}-{use.last}: {count} {word}")
                rows.append(tag("rect", hint, x=x, y=y + 2, width=width, height=_ROW - 3, class_=class_))
            x += width
        rows.append(tag("text", f"{figures.percent(use.utilisation)}", x=_NAME + _BARS + 8, y=y + 13))
    return _svg("Ports by range", max(_ROW, len(ranges) * (_ROW + 4)), rows)


def _row_name(name: str, y: float) -> Element:
    short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 7]}…{name[-6:]}"
    return tag("text", tag("title", name), short, x=_NAME - 8, y=y + 13, class_="end name")


def _svg(name: str, height: float, *children: Child) -> Element:
    return tag("svg", children, viewBox=f"0 0 {_WIDTH:g} {height:g}", role="img", aria_label=name)
