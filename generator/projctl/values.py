"""The short forms a manifest may write values in: time spans, sizes, percentages, ranges, plain text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel, ValidationError

_UNITS_OF_TIME = {
    "ms": 0.001, "s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800,
}  # fmt: skip
_UNITS_OF_SIZE = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPAN_FORM = 'must be a time span such as "90s", "15m" or "1h 30min"'
_SPAN_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)[ \t]*([a-z]*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
#: Unicode's noncharacters: systemd takes what holds one for no text, though UTF-8 can write it.
_NONCHARACTERS = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_NONCHARACTER = re.compile(f"[\ufdd0-\ufdef{_NONCHARACTERS}]")


_Step = TypeVar("_Step", str, int)
_Part = TypeVar("_Part")


class BadValueError(ValueError):
    """A value that cannot stand; `hint` says what to write instead, `on_key` that its key is at fault."""

    def __init__(self, message: str, hint: str | None = None, *, on_key: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.on_key = on_key


class BadPartsError(ValueError):
    """Parts of one value that cannot stand, each with its key or index and what is wrong with it."""

    def __init__(self, parts: Iterable[tuple[str | int, ValueError]]) -> None:
        self.parts = tuple(parts)
        super().__init__("; ".join(f"{step} {part}" for step, part in self.parts))


class BadFormError(ValueError):
    """A mapping that is no good `model`, and what pydantic says about it."""

    def __init__(self, error: ValidationError, model: type[BaseModel]) -> None:
        super().__init__(str(error))
        self.error = error
        self.model = model


def parse_switch(value: object) -> bool:
    """`true` or `false`, `yes` or `no`, `on` or `off`."""
    known = {True: True, False: False, "yes": True, "no": False, "on": True, "off": False}
    if not isinstance(value, bool | str) or value not in known:
        raise ValueError('must be "yes" or "no"')
    return known[value]


def parse_each(
    parts: Iterable[tuple[_Step, object]], parse: Callable[[object], _Part]
) -> list[tuple[_Step, _Part]]:
    """Every part parsed, with its key or index; raises one BadPartsError for all that cannot be."""
    good: list[tuple[_Step, _Part]] = []
    bad: list[tuple[str | int, ValueError]] = []
    for step, part in parts:
        try:
            good.append((step, parse(part)))
        except ValueError as error:
            bad.append((step, error))
    if bad:
        raise BadPartsError(bad)
    return good


def parse_seconds(value: object) -> float:
    """Seconds of a time span as systemd.time(7) writes it (`90`, `15m`, `1h 30min`), 1 ms at the least."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and value.strip():
        seconds = _sum_of_spans(value)
    else:
        raise ValueError(_SPAN_FORM)
    if not 0.001 <= seconds < 10**9:
        raise ValueError("must be a time span of 1 ms at the least and below 30 years")
    return seconds


def _sum_of_spans(text: str) -> float:
    if _SPAN_PART.sub("", text).strip():
        raise ValueError(_SPAN_FORM)
    total = 0.0
    for number, unit in _SPAN_PART.findall(text):
        if unit and unit not in _UNITS_OF_TIME:
            raise ValueError(f'unknown time unit "{unit}", must be one of: ms, s, min, h, d, w')
        total += float(number) * _UNITS_OF_TIME[unit or "s"]
    return total


def parse_seconds_or_zero(value: object) -> float:
    """As parse_seconds, but zero is allowed."""
    return 0.0 if value in (0, "0", "0s") and value is not False else parse_seconds(value)


def parse_seconds_or_never(value: object) -> float | None:
    """As parse_seconds; None for `never`."""
    return _or_never(value, parse_seconds)


def parse_seconds_zero_or_never(value: object) -> float | None:
    """As parse_seconds_or_never, but zero is allowed."""
    return 0.0 if value in (0, "0", "0s") and value is not False else parse_seconds_or_never(value)


def parse_bytes(value: object) -> int:
    """Bytes of a size as systemd writes it (`512M`, base 1024)."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", value) if isinstance(value, str) else None
    if not match or int(match[1]) == 0:
        raise ValueError('must be a size above zero such as "512M" or "2G"')
    return int(match[1]) * _UNITS_OF_SIZE[match[2]]


def parse_percent(value: object) -> float:
    """Percent of one CPU (`50%`, `200%` for two): from what the kernel can give out, two decimals at the most."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,2})?)%", value) if isinstance(value, str) else None
    if not match or float(match[1]) < 0.1:
        raise ValueError('must be a percentage of one CPU from 0.1% on, such as "50%", "0.25%" or "200%"')
    return float(match[1])


def parse_percent_or_never(value: object) -> float | None:
    """As parse_percent; None for `never`."""
    return _or_never(value, parse_percent)


def _or_never(value: object, parse: Callable[[object], float]) -> float | None:
    if value == "never":
        return None
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "never"') from None


def parse_range(value: object) -> tuple[int, int]:
    """First and last port of `a-b`, both included."""
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('must be a range of ports such as "5001-5100"')
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= 65535:
        raise ValueError("must be a range within 1-65535 whose first port is not above its last")
    return first, last


def literal_text(value: object) -> str:
    """Text that systemd can carry to the process byte for byte: of control characters tab and newline alone."""
    if not isinstance(value, str):
        hint = f'write it in quotes: "{value}"' if isinstance(value, int | float) else None
        raise BadValueError(f"must be a string, not {kind(value)}", hint)
    if found := _CONTROL.search(value):
        raise ValueError(f"cannot carry the control character U+{ord(found[0]):04X}")
    if found := _NONCHARACTER.search(value):
        raise ValueError(f"cannot carry U+{ord(found[0]):04X}, which is no character to systemd")
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
    if text != text.strip() or text.endswith("\\"):
        raise ValueError(
            "cannot begin or end with a space, or end with a backslash: a unit file cannot carry that"
        )
    return text


def kind(value: object) -> str:
    """What a value is, in the words of a message."""
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), "empty")
