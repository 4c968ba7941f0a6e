"""One line of an access log: what was answered and how long that took. A project can write anything there."""

from __future__ import annotations

import json
import math
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

#: What AccessLog= says instead of a regular expression for lines that are JSON objects.
JSON = "json"
#: Answers that are counted by their code; nginx and proxies of the large providers have some of their own.
_KNOWN = frozenset({*(int(status) for status in HTTPStatus), 444, 495, 496, 497, 499, *range(520, 528), 530})
_STATUS = ("status", "status_code", "statusCode")
_WITHIN = ("res", "response")
_SECONDS = {"duration": 1.0, "seconds": 1.0, "request_time": 1.0, "responseTime": 1e-3, "duration_ms": 1e-3}
#: A longer request than a day is none.
_LONGEST = 86_400.0


class Request(NamedTuple):
    """A request: the label it is counted by (a known code, else its class), and its seconds where they are told."""

    code: str
    seconds: float | None


def reader(pattern: str, patience: AbstractContextManager[None]) -> Callable[[str], Request | None]:
    """What reads a line that AccessLog= describes: None for one that tells of no request.

    Raises ValueError for what is no such description; `patience` is around each match and may end it.
    """
    if pattern == JSON:
        return _read_json
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    if "status" not in compiled.groupindex:
        raise ValueError('must have a group "status"')

    def read(line: str) -> Request | None:
        with patience:
            found = compiled.search(line)
        return _request(**found.groupdict()) if found else None

    return read


def _request(
    *, status: str | None, seconds: str | None = None, milliseconds: str | None = None, **_: str | None
) -> Request | None:
    if milliseconds is not None:
        return _made(status, milliseconds, 1e-3)
    return _made(status, seconds, 1.0)


def _read_json(line: str) -> Request | None:
    if not line.startswith("{"):
        return None
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    key = next((key for key in _SECONDS if key in data), "")
    return _made(_status(data), data.get(key), _SECONDS.get(key, 1.0))


def _status(data: dict[str, Any]) -> object:
    for place in (data, *(data.get(key) for key in _WITHIN)):
        for key in _STATUS:
            if isinstance(place, dict) and key in place:
                return place[key]
    return None


def _made(status: object, duration: object, unit: float) -> Request | None:
    code = _label(status)
    return Request(code, _seconds(duration, unit)) if code else None


def _label(status: object) -> str | None:
    """The code where it is known, else its class: whatever a log says, there are few labels."""
    if (
        isinstance(status, bool)
        or not isinstance(status, int | str)
        or not re.fullmatch("[1-5][0-9]{2}", str(status), re.ASCII)
    ):
        return None
    return str(status) if int(status) in _KNOWN else f"{str(status)[0]}xx"


def _seconds(duration: object, unit: float) -> float | None:
    if isinstance(duration, bool) or not isinstance(duration, int | float | str):
        return None
    try:
        seconds = float(duration) * unit
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LONGEST else None
