"""How figures are written for people: never rounded to a target that they do not reach; pure."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from projctl.listing import span

if TYPE_CHECKING:
    from datetime import tzinfo

    from projctl.report.kpis import Kpi, Unit

NO_DATA = "no data"


def shown(value: float | None, unit: Unit, decimals: int = 1) -> str:
    """The value with its unit."""
    if value is None:
        return NO_DATA
    if unit == "share":
        return percent(value, decimals)
    if unit == "seconds":
        return seconds(value)
    return gib_hours(value) if unit == "gib_hours" else f"{value:,.0f}"


def gib_hours(value: float) -> str:
    """Memory over time; a decimal below a thousand, MiB·h where there is little."""
    if value < 0.1:
        return f"{value * 1024:.1f} MiB·h"
    return f"{value:,.{0 if value >= 1000 else 1}f} GiB·h"


def percent(share: float, decimals: int = 1) -> str:
    """Only all is `100 %` and only nothing `0 %`: what lies between is cut, not rounded."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    scale = 10**decimals
    # A share is exact to far more than that: 0.29 * 100 must not become 28.99…
    cut = math.floor(round(share * 100 * scale, 6)) / scale
    if not cut:
        return f"< {1 / scale:g} %"
    return f"{cut:.{decimals}f} %"


def seconds(value: float) -> str:
    """A duration: milliseconds below one second, two decimals below a minute."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 60 else span(value)


def kpi(found: Kpi) -> str:
    """The value of a KPI; the availability with as many decimals as its target asks for."""
    text = shown(found.value, found.unit, 3 if found.key == "availability" else 1)
    parts = found.parts
    if found.key == "cold_start" and found.value is not None:
        p50, longest = (seconds(parts[key] or 0) for key in ("p50", "max"))
        return f"{text} (p50 {p50}, max {longest})"
    return text


def verdict(found: Kpi) -> str:
    """`met`, `not met`, `not known`, or nothing where there is no target."""
    if not found.target:
        return ""
    return {True: "met", False: "not met", None: "not known"}[found.met]


def moment(time: float, zone: tzinfo) -> str:
    """Date and time."""
    return f"{datetime.fromtimestamp(time, zone):%Y-%m-%d %H:%M}"
