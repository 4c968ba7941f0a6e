"""The ledger and the journal's cursor it stands at, kept in one file that is replaced as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from projctl_agent import statefile
from projctl_agent.lifecycle import BUCKETS, Ledger, Run, Totals
from projctl_agent.statefile import count, instance

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = 1
_T = TypeVar("_T")


def dump(ledger: Ledger, cursor: str) -> str:
    """The text of a checkpoint."""
    return json.dumps(
        {"version": _VERSION, "cursor": cursor, "ledger": asdict(ledger)}, separators=(",", ":")
    )


def parse(content: str) -> tuple[Ledger, str]:
    """Ledger and cursor of a checkpoint; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        cursor, ledger = data["cursor"], data["ledger"]
        projects = {instance(name): _totals(totals) for name, totals in ledger["projects"].items()}
        return Ledger(projects, _typed(ledger["boot"], str)), _typed(cursor, str)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a checkpoint: {error!r}") from None


def _totals(data: dict[str, Any]) -> Totals:
    runs = {_typed(key, str): _run(run) for key, run in data["runs"].items()}
    totals = Totals(**{**data, "runs": runs})
    for reason, number in totals.stops.items():
        _typed(reason, str)
        count(number)
    if len(totals.durations) != len(BUCKETS) + 1:
        raise ValueError("other buckets")
    for number in (
        totals.starts,
        totals.rearmed,
        totals.leaks,
        totals.failed_starts,
        totals.suppressed,
        totals.decided_at,
        totals.ordered_at,
        *totals.durations,
    ):
        count(number)
    for text in (totals.last_reason, totals.decided, totals.ordered, totals.counted, *totals.ended):
        _typed(text, str)
    _typed(totals.told_no_counters, bool)
    totals.duration_sum = float(totals.duration_sum)
    return totals


def _run(data: dict[str, Any]) -> Run:
    run = Run(**data)
    for text in (run.unit, run.boot, run.exit, run.ordered, *run.figures):
        _typed(text, str)
    for number in (run.realtime, run.monotonic, run.ready, run.latest):
        count(number)
    for value in run.figures.values():
        _typed(value, (str, int, float))
    for flag in (run.active, run.stopping, run.out_of_memory, run.frontend, run.alone, run.probe_failed):
        _typed(flag, bool)
    return run


def _typed(value: object, kind: type[_T] | tuple[type[_T], ...]) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"must be {kind}, {value!r} is not")
    return value


def load(path: Path) -> tuple[Ledger, str]:
    """The checkpoint in a file; an empty ledger without one. Raises ValueError where it is damaged."""
    content = statefile.read(path)
    return (Ledger(), "") if content is None else parse(content)


def save(path: Path, ledger: Ledger, cursor: str) -> None:
    """Replace the checkpoint as a whole. Raises OSError."""
    statefile.replace(path, dump(ledger, cursor))
