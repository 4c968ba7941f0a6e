"""What the charts show: memory, starts and activity by day (or hour), cold starts by length; pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from projctl.report.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from projctl.report.servers import Server

#: Windows up to so many seconds are shown by the hour.
_SHORT = 3 * 86400
#: The most buckets; days are put together where there would be more.
_MOST = 92
#: Upper bounds in seconds of the cold starts' classes; a last one without bound follows.
CLASSES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_GIB = float(1 << 30)


@dataclass(frozen=True)
class Bucket:
    """Part of the window: mean GiB needed and saved in it, and its starts; memory is None where not known."""

    span: Span
    used_gib: float | None
    saved_gib: float | None
    starts: int
    failed: int


@dataclass(frozen=True)
class Series:
    """`step` is the length of a bucket in words; `activity` is by project the share of each bucket it ran in."""

    step: str
    buckets: tuple[Bucket, ...]
    cold: tuple[int, ...]
    activity: dict[str, tuple[float, ...]]


def compute(servers: Sequence[Server], window: Span, zone: tzinfo) -> Series:
    """Everything by bucket; buckets begin at midnight (or a full hour) of the zone."""
    step, edges = _edges(window, zone)
    spans = [Span(begin, end) for begin, end in pairwise(edges)]
    used, always = [0.0] * len(spans), [0.0] * len(spans)
    for server in servers:
        if server.memory is not None:
            _spread(used, edges, server.loads)
            _spread(always, edges, ((span, server.memory) for span in server.lived))
    starts, failed = _counts(servers, edges)
    known = any(server.memory is not None for server in servers)
    buckets = tuple(
        Bucket(
            span,
            used[i] / span.seconds / _GIB if known else None,
            (always[i] - used[i]) / span.seconds / _GIB if known else None,
            starts[i],
            failed[i],
        )
        for i, span in enumerate(spans)
    )
    return Series(step, buckets, _classes(servers), _activity(servers, spans, edges))


def _edges(window: Span, zone: tzinfo) -> tuple[str, list[float]]:
    """The borders of the buckets, those of the window included, and how far they are apart."""
    hours = window.seconds <= _SHORT
    days = 1 if hours else max(1, -(-int(window.seconds // 86400) // _MOST))
    words = "hour" if hours else "day" if days == 1 else f"{days} days"
    step = timedelta(hours=1) if hours else timedelta(days=days)
    local = datetime.fromtimestamp(window.begin, zone)
    at = datetime.combine(local.date(), time(local.hour if hours else 0), zone)
    edges = [window.begin]
    while (at := at + step).timestamp() < window.end:
        if at.timestamp() > edges[-1]:  # the hour that is put back in autumn is not counted twice
            edges.append(at.timestamp())
    return words, [*edges, window.end] if window.seconds else []


def _spread(sums: list[float], edges: Sequence[float], loads: Iterable[tuple[Span, float]]) -> None:
    """Add to each bucket the seconds of the spans in it, times their weight."""
    for span, weight in loads:
        place = max(0, bisect_right(edges, span.begin) - 1)
        while place < len(sums) and edges[place] < span.end:
            sums[place] += span.within(Span(edges[place], edges[place + 1])).seconds * weight
            place += 1


def _counts(servers: Sequence[Server], edges: Sequence[float]) -> tuple[list[int], list[int]]:
    starts, failed = [0] * max(0, len(edges) - 1), [0] * max(0, len(edges) - 1)
    for server in servers:
        for run in server.starts:
            place = bisect_right(edges, run.began or 0.0) - 1
            starts[place] += 1
            failed[place] += run.failed_to_start
    return starts, failed


def _classes(servers: Sequence[Server]) -> tuple[int, ...]:
    counts = [0] * (len(CLASSES) + 1)
    for server in servers:
        for seconds in server.cold:
            counts[sum(1 for bound in CLASSES if seconds > bound)] += 1
    return tuple(counts)


def _activity(
    servers: Sequence[Server], spans: Sequence[Span], edges: Sequence[float]
) -> dict[str, tuple[float, ...]]:
    """By project; of several servers the mean."""
    found: dict[str, list[list[float]]] = {}
    for server in servers:
        sums = [0.0] * len(spans)
        _spread(sums, edges, ((span, 1.0) for span in server.up))
        found.setdefault(server.project, []).append(
            [seconds / span.seconds for seconds, span in zip(sums, spans, strict=True)]
        )
    return {
        name: tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))
        for name, rows in found.items()
    }
