"""Tables for terminals: columns that are dropped and cut until every line fits; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 2
_MORE = "…"


@dataclass(frozen=True)
class Column:
    """`rank` 0 always stays, others are dropped from the highest on; `least` is how short its cells may be cut."""

    heading: str
    right: bool = False
    rank: int = 0
    least: int | None = None


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[list[tuple[int, str]]]:
    """The lines, heading first, as padded cells with the number of their column; none is longer than `width`.

    What can be cut is cut before a column goes, but never shorter than its `least`.
    """
    cells = [[column.heading for column in columns], *rows]
    natural = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    kept = list(range(len(columns)))
    while (widths := _widths(columns, natural, kept, width)) is None:
        droppable = [i for i in kept if columns[i].rank]
        if not droppable:
            widths = _squeezed(natural, kept, width)
            break
        kept.remove(max(droppable, key=lambda i: columns[i].rank))
    return [[(i, _cell(row[i], widths[i], right=columns[i].right)) for i in widths] for row in cells]


def _widths(
    columns: Sequence[Column], natural: Sequence[int], kept: Sequence[int], width: int
) -> dict[int, int] | None:
    """The widths of these columns that fit, the longest cut first; None when they cannot."""
    widths = {i: natural[i] for i in kept}
    over = sum(widths.values()) + _GAP * (len(kept) - 1) - width
    while over > 0:
        longer = [i for i in kept if widths[i] > (columns[i].least or natural[i])]
        if not longer:
            return None
        widths[max(longer, key=lambda i: widths[i])] -= 1
        over -= 1
    return widths


def _squeezed(natural: Sequence[int], kept: Sequence[int], width: int) -> dict[int, int]:
    """Widths for a terminal narrower than what must stay: columns from the left, as far as it reaches."""
    widths: dict[int, int] = {}
    room = width
    for i in kept:
        if room < 1:
            break
        widths[i] = min(natural[i], room)
        room -= widths[i] + _GAP
    return widths


def _cell(content: str, width: int, *, right: bool) -> str:
    shown = cut(content, width)
    return shown.rjust(width) if right else shown.ljust(width)


def cut(content: str, width: int) -> str:
    """The text in at most `width` characters; the number of an instance, as in `shop@3`, stays."""
    if len(content) <= width:
        return content
    head, at, number = content.rpartition("@")
    tail = at + number if at and number.isdecimal() else ""
    room = width - len(tail) - len(_MORE)
    return f"{head[:room]}{_MORE}{tail}" if tail and room > 0 else f"{content[: max(0, width - 1)]}{_MORE}"
