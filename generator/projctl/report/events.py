"""Lifecycle events as `projctl-agent events --json` prints them, one JSON object a line; pure."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from projctl.diagnostics import ProjctlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: What an event may say of a run, all numbers.
FIGURES = (
    "seconds",
    "idle_seconds",
    "uptime_seconds",
    "cpu_seconds",
    "memory_bytes",
    "memory_peak_bytes",
    "bytes_in",
    "bytes_out",
)


class Event(NamedTuple):
    """One event; `server` is NAME or NAME@K, `time` in seconds since 1970."""

    time: float
    kind: str
    server: str
    invocation: str = ""
    reason: str = ""
    exit: str = ""
    figures: Mapping[str, float] = {}


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """The events of these lines, in their order; other kinds of objects than events are an error."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _event(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise ProjctlError(
                    f"cannot read event {number}: {type(error).__name__}: {error}",
                    hint="it must be a line of JSON as `projctl-agent events --json` prints it",
                ) from None


def _event(found: Mapping[str, Any]) -> Event:
    project, instance = str(found["project"]), found.get("instance")
    return Event(
        float(found["time"]),
        str(found["event"]),
        project if instance is None else f"{project}@{instance}",
        _text(found.get("invocation")),
        _text(found.get("reason")),
        _text(found.get("exit")),
        {key: float(found[key]) for key in FIGURES if key in found and _is_figure(found[key])},
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _is_figure(value: object) -> bool:
    """Whether it is a quantity: none of them can be negative."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0
