"""Moments as people write them, in the forms of systemd.time(7) that journalctl takes; pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_UNITS = {
    **dict.fromkeys(("us", "usec", "µs", "μs"), 1e-6),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), _MINUTE),
    **dict.fromkeys(("h", "hr", "hour", "hours"), _HOUR),
    **dict.fromkeys(("d", "day", "days"), _DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * _DAY),
    **dict.fromkeys(("M", "month", "months"), 30.44 * _DAY),
    **dict.fromkeys(("y", "year", "years"), 365.25 * _DAY),
}
_PART = r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµμ]*)\s*"
_SPAN = re.compile(f"(?:{_PART})+", re.ASCII)
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?", re.ASCII)
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def parse(text: str, now: datetime) -> float:
    """Seconds since 1970; times without a zone are local, as `now` is. Raises ValueError."""
    words = text.strip()
    try:
        if words == "now":
            return now.timestamp()
        if words in _DAYS:
            return _midnight(now, _DAYS[words])
        if words.startswith("@"):
            return _finite(float(words[1:]))
        if words.startswith(("+", "-")):
            return now.timestamp() + (1 if words[0] == "+" else -1) * _span(words[1:])
        if words.endswith(" ago"):
            return now.timestamp() - _span(words.removesuffix(" ago"))
        return _date(words, now)
    except (ValueError, OverflowError):
        raise ValueError(
            'must be a time such as "2026-01-31 12:00", "12:00", "today", "-1h", "2d ago" or "@SECONDS", '
            f"{text!r} is not"
        ) from None


def _midnight(now: datetime, days: int) -> float:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) + timedelta(days=days)
    return day.astimezone().timestamp()


def _span(text: str) -> float:
    if not _SPAN.fullmatch(text):
        raise ValueError
    parts = re.findall(_PART, text)
    if not all(unit in _UNITS for _, unit in parts):
        raise ValueError
    return _finite(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _date(text: str, now: datetime) -> float:
    words = f"{now:%Y-%m-%d} {text}" if _CLOCK.fullmatch(text) else re.sub(r"\s*UTC$", "+00:00", text)
    found = datetime.fromisoformat(words)
    return found.timestamp() if found.tzinfo else found.astimezone().timestamp()


def _finite(seconds: float) -> float:
    if not abs(seconds) < 1e11:
        raise ValueError
    return seconds
