"""What happened to each project, derived from the journal alone: the same entries, the same totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent.names import instance_of_service

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Upper bounds in seconds of the start durations' buckets; a last one without bound follows.
BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: So many ended runs are remembered per project, to tell late entries about them from new runs.
_REMEMBERED = 4


class Kind(StrEnum):
    """What an entry tells."""

    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUCCESS = "success"
    FAILURE = "failure"
    OUT_OF_MEMORY = "out-of-memory"
    IDLE_STOP = "idle-stop"
    IDLE_STOP_REFUSED = "idle-stop-refused"
    NO_COUNTERS = "no-counters"


class Entry(NamedTuple):
    """One entry. Times in microseconds, `monotonic` counted within `boot`; `result` is UNIT_RESULT."""

    kind: Kind
    unit: str
    invocation: str
    boot: str
    realtime: int
    monotonic: int
    result: str = ""


@dataclass(slots=True)
class Run:
    """A run that has not ended as far as the journal tells. `frontend`: a proxy, whose backend is counted."""

    unit: str
    boot: str
    realtime: int
    monotonic: int
    active: bool = False
    stopping: bool = False
    out_of_memory: bool = False
    frontend: bool = False


@dataclass(slots=True)
class Totals:
    """The totals of one project, and what they need to go on from."""

    starts: int = 0
    stops: dict[str, int] = field(default_factory=dict)
    durations: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    duration_sum: float = 0.0
    last_reason: str = ""
    runs: dict[str, Run] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    decided: str = ""
    told_no_counters: bool = False


_OPENS = frozenset(
    {Kind.STARTING, Kind.STARTED, Kind.SUCCESS, Kind.FAILURE, Kind.STOPPING, Kind.OUT_OF_MEMORY}
)
_ENDS = frozenset({Kind.SUCCESS, Kind.FAILURE, Kind.STOPPED})


@dataclass(slots=True)
class Ledger:
    """The totals of all projects (NAME, or NAME@K by instance), kept by feeding it every entry once, in order."""

    projects: dict[str, Totals] = field(default_factory=dict)
    boot: str = ""

    def feed(self, entries: Iterable[Entry]) -> None:
        """Take over what these entries tell."""
        for entry in entries:
            if named := instance_of_service(entry.unit):
                self._turn_boot(entry.boot)
                self._take(self.projects.setdefault(named[0], Totals()), entry, backend=named[1])

    def _turn_boot(self, boot: str) -> None:
        """Runs that a power cut ended left no entry of their end."""
        if boot == self.boot:
            return
        self.boot = boot
        for totals in self.projects.values():
            for invocation in [key for key, run in totals.runs.items() if run.boot != boot]:
                _end(totals, invocation, "lost")

    def _take(self, totals: Totals, entry: Entry, *, backend: bool) -> None:
        if entry.kind is Kind.NO_COUNTERS:
            totals.told_no_counters = True
        elif entry.kind is Kind.IDLE_STOP:
            totals.decided = entry.invocation
        elif entry.kind is Kind.IDLE_STOP_REFUSED:
            totals.decided = ""
        elif run := totals.runs.get(entry.invocation) or _open(totals, entry, backend=backend):
            _advance(totals, run, entry)


def _open(totals: Totals, entry: Entry, *, backend: bool) -> Run | None:
    """A new run where the entry is the first one about it; None where it is a late one or begins nothing."""
    if entry.kind not in _OPENS or not entry.invocation or entry.invocation in totals.ended:
        return None
    for invocation in [key for key, run in totals.runs.items() if run.unit == entry.unit]:
        _end(totals, invocation, "lost")
    # A proxy starts after its backend and ends with it; a server of the same unit name never has one running.
    frontend = not backend and bool(totals.runs)
    run = Run(entry.unit, entry.boot, entry.realtime, entry.monotonic, frontend=frontend)
    totals.runs[entry.invocation] = run
    if not frontend:
        totals.starts += 1
    return run


def _advance(totals: Totals, run: Run, entry: Entry) -> None:
    if entry.kind is Kind.STARTED:
        if not run.active and entry.monotonic > run.monotonic:
            _time_start(totals, run, entry)
        run.active = True
    elif entry.kind is Kind.STOPPING:
        run.stopping = True
    elif entry.kind is Kind.OUT_OF_MEMORY:
        run.out_of_memory = True
    elif entry.kind in _ENDS:
        _end(totals, entry.invocation, _reason(totals, run, entry))


def _time_start(totals: Totals, run: Run, entry: Entry) -> None:
    if run.frontend:
        return
    # The clock may be set meanwhile, and journald may take an entry late: the shorter of both is nearer.
    by_clock, by_uptime = entry.realtime - run.realtime, entry.monotonic - run.monotonic
    seconds = (min(by_clock, by_uptime) if by_clock >= 0 else by_uptime) / 1e6
    place = sum(1 for bound in BUCKETS if seconds > bound)
    totals.durations[place] += 1
    totals.duration_sum += seconds


def _reason(totals: Totals, run: Run, entry: Entry) -> str:
    if run.out_of_memory or entry.result == "oom-kill":
        return "oom"
    if entry.invocation == totals.decided:
        return "idle"
    if entry.result == "timeout":
        if not run.active:
            return "start_timeout"
        return "stop_timeout" if run.stopping else "max_runtime"
    if entry.kind is Kind.FAILURE:
        return "crash"
    return "manual" if run.stopping or not run.active or entry.kind is Kind.STOPPED else "exit"


def _end(totals: Totals, invocation: str, reason: str) -> None:
    run = totals.runs.pop(invocation)
    totals.ended = [*totals.ended, invocation][-_REMEMBERED:]
    if invocation == totals.decided:
        totals.decided = ""
    if not run.frontend:
        totals.stops[reason] = totals.stops.get(reason, 0) + 1
        totals.last_reason = reason
