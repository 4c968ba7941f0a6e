"""Moments at which several watches look: one wake-up of the agent does for them all."""

from __future__ import annotations

import math

#: Who looks so many steps after a meeting was there: they keep to its moments, however long a look takes.
_LATE = 0.25
_ROUNDING = 1e-6


class Meetings:
    """Those that have the same idle time meet; who looks alone keeps to moments of its own."""

    def __init__(self) -> None:
        self._next: dict[float, float] = {}

    def join(self, idle: float, apart: float, now: float, latest: float) -> float:
        """The last moment up to `latest` at which others with that idle time look every `apart` seconds.

        It is `latest` without them; both are in monotonic seconds.
        """
        planned = self._next.get(idle, -math.inf)
        if planned <= now < planned + _LATE * apart:
            planned += apart
        if not now < planned <= latest:
            planned = latest
        self._next[idle] = planned
        return planned + math.floor((latest - planned) / apart + _ROUNDING) * apart
