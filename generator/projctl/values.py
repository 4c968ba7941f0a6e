"""The short forms a manifest may write values in: time spans, sizes, percentages, ranges, plain text."""

from __future__ import annotations

import re

_UNITS_OF_TIME = {
    "ms": 0.001, "s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800,
}  # fmt: skip
_UNITS_OF_SIZE = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPAN_FORM = 'must be a time span such as "90s", "15m" or "1h 30min"'
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def parse_seconds(value: object) -> float:
    """Seconds of a time span as systemd.time(7) writes it (`90`, `15m`, `1h 30min`); must be above zero."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and value.strip():
        seconds = _sum_of_spans(value)
    else:
        raise ValueError(_SPAN_FORM)
    if not 0 < seconds < 10**9:
        raise ValueError("must be a time span above zero and below 30 years")
    return seconds


def _sum_of_spans(text: str) -> float:
    if re.sub(r"\d+(?:\.\d+)?[ \t]*[a-z]*", "", text).strip():
        raise ValueError(_SPAN_FORM)
    total = 0.0
    for number, unit in re.findall(r"(\d+(?:\.\d+)?)[ \t]*([a-z]*)", text):
        if unit and unit not in _UNITS_OF_TIME:
            raise ValueError(f'unknown time unit "{unit}", must be one of: ms, s, min, h, d, w')
        total += float(number) * _UNITS_OF_TIME[unit or "s"]
    return total


def parse_seconds_or_zero(value: object) -> float:
    """As parse_seconds, but zero is allowed."""
    return 0.0 if value in (0, "0", "0s") and value is not False else parse_seconds(value)


def parse_seconds_or_never(value: object) -> float | None:
    """As parse_seconds; None for `never`."""
    if value == "never":
        return None
    try:
        return parse_seconds(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "never"') from None


def parse_bytes(value: object) -> int:
    """Bytes of a size as systemd writes it (`512M`, base 1024)."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = re.fullmatch(r"(\d+)([KMGT]?)", value) if isinstance(value, str) else None
    if not match or int(match[1]) == 0:
        raise ValueError('must be a size above zero such as "512M" or "2G"')
    return int(match[1]) * _UNITS_OF_SIZE[match[2]]


def parse_percent(value: object) -> float:
    """Percent of one CPU (`50%`, `200%` for two)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%", value) if isinstance(value, str) else None
    if not match or float(match[1]) <= 0:
        raise ValueError('must be a percentage of one CPU above zero, such as "50%" or "200%"')
    return float(match[1])


def parse_range(value: object) -> tuple[int, int]:
    """First and last port of `a-b`, both included."""
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('must be a range of ports such as "5001-5100"')
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= 65535:
        raise ValueError("must be a range within 1-65535 whose first port is not above its last")
    return first, last


def literal_text(value: object) -> str:
    """Text that systemd can carry to the process byte for byte: no control characters but tab and newline."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string, {kind(value)} is not; put it in quotes")
    if found := _CONTROL.search(value):
        raise ValueError(f"cannot carry the control character U+{ord(found[0]):04X}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    return value


def single_line(value: object) -> str:
    """Text for a directive that takes the rest of its line: no newline either."""
    text = literal_text(value)
    if "\n" in text or not text.strip():
        raise ValueError("must be one line of text that is not empty")
    return text


def kind(value: object) -> str:
    """What a value is, in the words of a message."""
    if isinstance(value, bool):
        return "true or false"
    return {int: "a number", float: "a number", list: "a list", dict: "a mapping"}.get(type(value), "empty")
