"""Moments at which several watches look: one wake-up of the agent does for them all."""

from __future__ import annotations

import math

#: Who looks so many steps after a meeting was there: they keep to its moments, however long a look takes.
_LATE = 0.25
_ROUNDING = 1e-6


class Meetings:
    """Those that look equally often meet; who looks alone keeps to moments of its own."""

    def __init__(self) -> None:
        self._next: dict[float, float] = {}

    def join(self, apart: float, now: float, latest: float) -> float:
        """The last moment up to `latest` at which others look that do so every `apart` seconds; `latest` without them.

        Both are in monotonic seconds.
        """
        planned = self._next.get(apart, -math.inf)
        if planned <= now < planned + _LATE * apart:
            planned += apart
        if not now < planned <= latest:
            planned = latest
        self._next[apart] = planned
        return planned + math.floor((latest - planned) / apart + _ROUNDING) * apart
