"""What requests of a window took, out of one access log, the newest first and no more than is enough."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from projctl_agent.access import lines
from projctl_agent.access.patience import Patience
from projctl_agent.buckets import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from projctl_agent.settings import Settings

#: Upper bounds in seconds, a tenth apart, and the round ones that people set limits at.
BOUNDS = tuple(
    sorted({*(round(0.001 * 1.1**step, 6) for step in range(131)), 0.01, 0.1, 0.5, 1.0, 5.0, 10.0})
)
#: So many lines of one log are looked at: a fleet of hundreds is read in a minute or two.
MOST = 10_000
#: Seconds that one line may take to match, and how many such lines end the reading of a log.
_PATIENCE, _SLOW_LINES = 0.05, 3


def summarise(settings: Settings, texts: Iterable[str]) -> dict[str, Any]:
    """The answers of one server by code, and how many took how long at the most. Raises ValueError."""
    read = lines.reader(settings.access_log or "", Patience(_PATIENCE))
    codes: Counter[str] = Counter()
    durations = Histogram(BOUNDS)
    slow = 0
    for text in texts:
        try:
            request = read(text)
        except TimeoutError:
            if (slow := slow + 1) >= _SLOW_LINES:
                raise ValueError("its pattern takes too long") from None
            continue
        if request:
            codes[request.code] += 1
            if request.seconds is not None:
                durations.add(request.seconds)
    return {"codes": dict(codes), "seconds": _filled(durations)}


def _filled(durations: Histogram) -> list[tuple[float, int]]:
    """Upper bounds and counts of those buckets that have any."""
    return [pair for pair in zip(durations.bounds, durations.counts, strict=False) if pair[1]]
