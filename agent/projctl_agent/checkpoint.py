"""The ledger and the journal's cursor it stands at, kept in one file that is replaced as a whole."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from projctl_agent.lifecycle import BUCKETS, Ledger, Run, Totals
from projctl_agent.names import instance_of_service

_VERSION = 1
_T = TypeVar("_T")


def dump(ledger: Ledger, cursor: str) -> str:
    """The text of a checkpoint."""
    return json.dumps(
        {"version": _VERSION, "cursor": cursor, "ledger": asdict(ledger)}, separators=(",", ":")
    )


def parse(text: str) -> tuple[Ledger, str]:
    """Ledger and cursor of a checkpoint; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(text)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        cursor, ledger = data["cursor"], data["ledger"]
        projects = {_project(name): _totals(totals) for name, totals in ledger["projects"].items()}
        return Ledger(projects, _typed(ledger["boot"], str)), _typed(cursor, str)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a checkpoint: {error!r}") from None


def _project(name: str) -> str:
    if instance_of_service(f"projctl-{name}.service") != (name, False):
        raise ValueError(f"not a project: {name!r}")
    return name


def _totals(data: dict[str, Any]) -> Totals:
    runs = {_typed(key, str): _run(run) for key, run in data["runs"].items()}
    totals = Totals(**{**data, "runs": runs})
    for reason, count in totals.stops.items():
        _typed(reason, str)
        _count(count)
    if len(totals.durations) != len(BUCKETS) + 1:
        raise ValueError("other buckets")
    for count in (
        totals.starts,
        totals.rearmed,
        totals.leaks,
        totals.failed_starts,
        totals.suppressed,
        totals.ordered_at,
        *totals.durations,
    ):
        _count(count)
    for text in (totals.last_reason, totals.decided, totals.ordered, *totals.ended):
        _typed(text, str)
    _typed(totals.told_no_counters, bool)
    totals.duration_sum = float(totals.duration_sum)
    return totals


def _run(data: dict[str, Any]) -> Run:
    run = Run(**data)
    for text in (run.unit, run.boot, run.exit, run.ordered, *run.figures):
        _typed(text, str)
    for count in (run.realtime, run.monotonic, run.ready, run.latest):
        _count(count)
    for value in run.figures.values():
        _typed(value, (str, int, float))
    for flag in (run.active, run.stopping, run.out_of_memory, run.frontend, run.probe_failed):
        _typed(flag, bool)
    return run


def _typed(value: object, kind: type[_T] | tuple[type[_T], ...]) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"must be {kind}, {value!r} is not")
    return value


def _count(value: object) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"must be a count, {value!r} is not")


def load(path: Path) -> tuple[Ledger, str]:
    """The checkpoint in a file; an empty ledger without one. Raises ValueError where it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Ledger(), ""
    except OSError as error:
        raise ValueError(str(error)) from None
    return parse(text)


def save(path: Path, ledger: Ledger, cursor: str) -> None:
    """Replace the checkpoint as a whole. Raises OSError."""
    replace_file(path, dump(ledger, cursor))


def replace_file(path: Path, text: str, *, surely: bool = True) -> None:
    """Replace a file at once: a crash leaves the old one or the new one, a power cut too if it is to be sure.

    Raises OSError.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            if surely:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
