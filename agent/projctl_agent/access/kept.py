"""How far each access log was read and what it told so far, in one file: both belong together."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from projctl_agent.access.tally import DURATIONS, FIRSTS, Log, Moment, Tally
from projctl_agent.buckets import Histogram
from projctl_agent.checkpoint import replace_file
from projctl_agent.names import instance_of_service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VERSION = 1


def dump(logs: Mapping[str, Log]) -> str:
    """The text of these logs, which are by instance."""
    data = {"version": _VERSION, "logs": {instance: asdict(log) for instance, log in logs.items()}}
    return json.dumps(data, separators=(",", ":"))


def parse(text: str) -> dict[str, Log]:
    """The logs of a text by instance; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(text)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        return {instance: _log(instance, **log) for instance, log in data["logs"].items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the access logs of an agent: {error!r}") from None


def _log(instance: str, *, unit: object, pattern: object, cursor: object, tally: dict[str, Any]) -> Log:
    named = instance_of_service(_text(unit))
    if not named or named[0] != instance:
        raise ValueError(f"not a unit of {instance}: {unit!r}")
    return Log(_text(unit), _text(pattern), _text(cursor), _tally(**tally))


def _tally(
    *, codes: dict[str, object], durations: dict[str, Any], firsts: dict[str, Any], start: list[Any] | None
) -> Tally:
    return Tally(
        {_text(code): _count(count) for code, count in codes.items()},
        _histogram(durations, DURATIONS),
        _histogram(firsts, FIRSTS),
        None if start is None else _moment(*start),
    )


def _histogram(data: dict[str, Any], bounds: tuple[float, ...]) -> Histogram:
    if data.keys() != {"bounds", "counts", "sum"} or tuple(data["bounds"]) != bounds:
        raise ValueError("other buckets")
    counts = [_count(count) for count in data["counts"]]
    if (
        len(counts) != len(bounds) + 1
        or not isinstance(data["sum"], int | float)
        or not math.isfinite(data["sum"])
    ):
        raise ValueError("not a histogram")
    return Histogram(bounds, counts, float(data["sum"]))


def _moment(invocation: object, boot: object, monotonic: object) -> Moment:
    return Moment(_text(invocation), _text(boot), _count(monotonic))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be a text, {value!r} is not")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"must be a count, {value!r} is not")
    return value


def load(path: Path) -> dict[str, Log]:
    """The logs in a file; none without one. Raises ValueError where it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    return parse(text)


def save(path: Path, logs: Mapping[str, Log]) -> None:
    """Replace the file as a whole. Raises OSError."""
    replace_file(path, dump(logs))
