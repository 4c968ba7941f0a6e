"""Moments at which several watches look: one wake-up of the agent does for them all."""

from __future__ import annotations

import math
from typing import NamedTuple

#: Who looks so many steps after a meeting was there: they keep to its moments, however long a look takes.
_LATE = 0.25
_ROUNDING = 1e-6


class _Series(NamedTuple):
    """Moments at which watches of one idle time look, in monotonic seconds: that one, and so on."""

    planned: float
    apart: float

    def after(self, now: float) -> float:
        """Its next moment, for who is at one of them now; one in the past where nobody is."""
        return self.planned + self.apart if 0 <= now - self.planned < _LATE * self.apart else self.planned


class Meetings:
    """Who looks seldom meets those that do more often; who looks alone keeps to moments of its own."""

    def __init__(self) -> None:
        self._series: dict[float, _Series] = {}

    def join(self, idle: float, apart: float, now: float, latest: float) -> float:
        """The last moment up to `latest` at which others look that do so every `apart` seconds or more often.

        It is `latest` without them; all are in monotonic seconds. Who has the same idle time looks equally often.
        """
        best = _Series(latest, apart)
        for other, series in list(self._series.items()):
            planned = series.after(now)
            if now < planned <= latest and (
                series.apart < best.apart or (other == idle and best.planned == latest)
            ):
                best = _Series(planned, series.apart)
            elif planned < now - series.apart:
                del self._series[other]
        moment = best.planned + math.floor((latest - best.planned) / best.apart + _ROUNDING) * best.apart
        self._series[idle] = _Series(best.planned if best.apart == apart else moment, apart)
        return moment
