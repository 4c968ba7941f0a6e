"""The rows of `projctl events`: what happened, for people; pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from projctl import listing
from projctl.diagnostics import printable
from projctl.table import Column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.report.events import Event

#: What a narrow terminal drops first has the highest rank.
COLUMNS = (
    Column("TIME"),
    Column("NAME", least=16),
    Column("EVENT"),
    Column("REASON", rank=1),
    Column("WHAT", rank=2, least=12),
)
EVENT = 2


def row(event: Event) -> tuple[str, ...]:
    """The cells of one event, `-` for what there is none of."""
    when = datetime.fromtimestamp(event.time).astimezone().isoformat(" ", "milliseconds")[:-6]
    cells = (when, event.server, event.kind, event.reason or "-", ", ".join(_figures(event)) or "-")
    return tuple(map(printable, cells))


def _figures(event: Event) -> Iterator[str]:
    if event.exit:
        yield event.exit
    told = event.figures
    for key, head in (
        ("seconds", "in"),
        ("uptime_seconds", "ran"),
        ("idle_seconds", "idle"),
        ("cpu_seconds", "cpu"),
    ):
        if key in told:
            yield f"{head} {_span(told[key])}"
    if "memory_peak_bytes" in told or "memory_bytes" in told:
        yield f"memory {listing.size(int(told.get('memory_peak_bytes', told.get('memory_bytes', 0))))}"
    if "bytes_in" in told or "bytes_out" in told:
        yield f"bytes {'/'.join(listing.size(int(told.get(key, 0))) for key in ('bytes_in', 'bytes_out'))}"


def _span(seconds: float) -> str:
    return f"{seconds:.3f}s" if seconds < 10 else listing.span(seconds)
