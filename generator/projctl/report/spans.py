"""Arithmetic of time spans: what is left of some without others, and how much of them lies where; pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Span(NamedTuple):
    """From `begin` to `end`, in seconds since 1970."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(0.0, self.end - self.begin)

    def within(self, other: Span) -> Span:
        """The part of it inside the other; empty where they do not meet."""
        begin = max(self.begin, other.begin)
        return Span(begin, max(begin, min(self.end, other.end)))


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time as spans that do not overlap, in order, without empty ones."""
    found: list[Span] = []
    for span in sorted(span for span in spans if span.seconds):
        if found and span.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def without(span: Span, others: Iterable[Span]) -> list[Span]:
    """What is left of the span when the others are taken out of it."""
    left: list[Span] = []
    begin = span.begin
    for other in merged(other.within(span) for other in others):
        left.append(Span(begin, other.begin))
        begin = other.end
    return merged([*left, Span(begin, span.end)])


def common(some: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """The time that lies in both."""
    rest = merged(others)
    return merged(one.within(other) for one in merged(some) for other in rest)


def total(spans: Iterable[Span]) -> float:
    """Seconds, overlaps once."""
    return math.fsum(span.seconds for span in merged(spans))


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share (0 to 1) of all does not exceed; None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
