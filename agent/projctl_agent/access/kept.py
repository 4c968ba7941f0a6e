"""How far each access log was read and what it told so far, in one file: both belong together."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from projctl_agent import statefile
from projctl_agent.access.tally import DURATIONS, FIRSTS, Log, Moment, Tally
from projctl_agent.buckets import Histogram
from projctl_agent.names import instance_of_service
from projctl_agent.statefile import count, number, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VERSION = 1


def dump(logs: Mapping[str, Log]) -> str:
    """The text of these logs, which are by instance."""
    data = {"version": _VERSION, "logs": {instance: asdict(log) for instance, log in logs.items()}}
    return json.dumps(data, separators=(",", ":"))


def parse(content: str) -> dict[str, Log]:
    """The logs of a text by instance; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        return {instance: _log(instance, **log) for instance, log in data["logs"].items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the access logs of an agent: {error!r}") from None


def _log(instance: str, *, unit: object, pattern: object, cursor: object, tally: dict[str, Any]) -> Log:
    named = instance_of_service(text(unit))
    if not named or named[0] != instance:
        raise ValueError(f"not a unit of {instance}: {unit!r}")
    return Log(text(unit), text(pattern), text(cursor), _tally(**tally))


def _tally(
    *, codes: dict[str, object], durations: dict[str, Any], firsts: dict[str, Any], start: list[Any] | None
) -> Tally:
    return Tally(
        {text(code): count(of) for code, of in codes.items()},
        _histogram(durations, DURATIONS),
        _histogram(firsts, FIRSTS),
        None if start is None else _moment(*start),
    )


def _histogram(data: dict[str, Any], bounds: tuple[float, ...]) -> Histogram:
    if data.keys() != {"bounds", "counts", "sum"} or tuple(data["bounds"]) != bounds:
        raise ValueError("other buckets")
    counts = [count(one) for one in data["counts"]]
    if len(counts) != len(bounds) + 1:
        raise ValueError("not a histogram")
    return Histogram(bounds, counts, number(data["sum"]))


def _moment(invocation: object, boot: object, monotonic: object) -> Moment:
    return Moment(text(invocation), text(boot), count(monotonic))


def load(path: Path) -> dict[str, Log]:
    """The logs in a file; none without one. Raises ValueError where it is damaged."""
    content = statefile.read(path)
    return {} if content is None else parse(content)


def save(path: Path, logs: Mapping[str, Log]) -> None:
    """Replace the file as a whole. Raises OSError."""
    statefile.replace(path, dump(logs))
