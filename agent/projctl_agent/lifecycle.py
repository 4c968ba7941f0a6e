"""What happened to each project, derived from the journal alone: the same entries, the same totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl_agent import exits
from projctl_agent.entry import NOTHING, Entry, Kind
from projctl_agent.event import FIGURES, USED, Event, Figures, of_end
from projctl_agent.names import instance_of_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Upper bounds in seconds of the start durations' buckets; a last one without bound follows.
BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: So many ended runs are remembered per project, to tell late entries about them from new runs.
_REMEMBERED = 4


@dataclass(slots=True)
class Run:
    """A run that has not ended as far as the journal tells. `frontend`: a proxy, whose backend is counted.

    `alone` is a backend's that systemd started anew after a crash, while no proxy has needed it.
    `ready` (monotonic) and `latest` (realtime) are when it was ready, 0 before that, and last heard of; `exit` is
    how its first process that failed ended, `probe_failed` whether that was the readiness probe, `ordered` why a
    person had it stopped, `figures` what the agent found that the run used.
    """

    unit: str
    boot: str
    realtime: int
    monotonic: int
    active: bool = False
    stopping: bool = False
    out_of_memory: bool = False
    frontend: bool = False
    alone: bool = False
    ready: int = 0
    latest: int = 0
    exit: str = ""
    probe_failed: bool = False
    ordered: str = ""
    figures: Figures = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """The totals of one project, and what they need to go on from.

    `rearmed` counts sockets that were opened again, `leaks` runs that left something behind, `failed_starts` runs
    that went wrong before they were ready, `suppressed` lines that journald threw away; `ordered` is what a
    person ordered last, and when (monotonic), until a run has begun or ended since; `counted` is the unit of the
    newest run that is counted, and no proxy's; `decided` is the run that the agent last decided to stop, and when.
    """

    starts: int = 0
    stops: dict[str, int] = field(default_factory=dict)
    durations: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    duration_sum: float = 0.0
    last_reason: str = ""
    runs: dict[str, Run] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    decided: str = ""
    decided_at: int = 0
    told_no_counters: bool = False
    rearmed: int = 0
    leaks: int = 0
    failed_starts: int = 0
    suppressed: int = 0
    ordered: str = ""
    ordered_at: int = 0
    counted: str = ""


_OF_AGENT = frozenset(
    {
        Kind.IDLE_STOP,
        Kind.IDLE_STOP_REFUSED,
        Kind.ENDED,
        Kind.REARMED,
        Kind.WARM,
        Kind.LEAK,
        Kind.HOLD,
        Kind.RELEASE,
        Kind.FROZEN,
        Kind.THAWED,
    }
)
_OPENS = frozenset(
    {Kind.STARTING, Kind.STARTED, Kind.SUCCESS, Kind.FAILURE, Kind.STOPPING, Kind.OUT_OF_MEMORY}
)
_ENDS = frozenset({Kind.SUCCESS, Kind.FAILURE, Kind.STOPPED})
#: Ends that went wrong.
_FAULTS = frozenset({"crashed", "oom"})
#: Entries of ours that are events by themselves.
TOLD = {
    Kind.IDLE_STOP: "idle_stop",
    Kind.FROZEN: "frozen",
    Kind.THAWED: "thawed",
    Kind.REARMED: "rearmed",
    Kind.WARM: "warm",
    Kind.LEAK: "leak",
    Kind.HOLD: "hold",
    Kind.RELEASE: "release",
}
#: Why a run ends that is stopped by such an order.
_ORDERS = {"apply": "apply", "override": "override", "stop": "manual", "restart": "manual", "down": "manual"}
#: Orders that are events by themselves; the others show in what they do.
TOLD_ORDERS = frozenset({"apply", "override", "down", "up"})
#: Microseconds after an order, or a decision of the agent, in which a stop that begins is held for its work.
_ORDER_LASTS = 60_000_000
#: What a decision tells of the moment and not of the whole run.
_MOMENTARY = frozenset({"uptime_seconds", "activity"})


@dataclass(slots=True)
class Ledger:
    """The totals of all projects (NAME, or NAME@K by instance), kept by feeding it every entry once, in order."""

    projects: dict[str, Totals] = field(default_factory=dict)
    boot: str = ""

    def feed(self, entries: Iterable[Entry]) -> list[Event]:
        """Take over what these entries tell; the events that follow from it."""
        events: list[Event] = []
        for entry in entries:
            if named := instance_of_service(entry.unit):
                events += self.turn_boot(entry.boot)
                totals = self.projects.setdefault(named[0], Totals())
                events += _take(named[0], totals, entry, backend=named[1])
        return events

    def turn_boot(self, boot: str) -> list[Event]:
        """End the runs of other boots than this one: a power cut leaves no entry of their end."""
        if boot == self.boot:
            return []
        self.boot = boot
        lost = [
            (name, totals, invocation)
            for name, totals in self.projects.items()
            for invocation, run in totals.runs.items()
            if run.boot != boot
        ]
        return [event for run in lost for event in _lose(*run)]


def _take(name: str, totals: Totals, entry: Entry, *, backend: bool) -> Iterator[Event]:
    if entry.kind is Kind.NO_COUNTERS:
        totals.told_no_counters = True
    elif entry.kind is Kind.ORDER:
        if entry.result in _ORDERS:
            totals.ordered, totals.ordered_at = _ORDERS[entry.result], entry.monotonic
        if entry.result in TOLD_ORDERS:
            yield _event(name, entry.result, entry)
    elif entry.kind is Kind.SUPPRESSED:
        totals.suppressed += int(entry.figures.get("dropped", 0))
    elif entry.kind in _OF_AGENT:
        yield from _note(name, totals, entry)
    elif entry.kind is Kind.USED:
        if entry.invocation in totals.ended and entry.unit == totals.counted:
            yield _event(name, USED, entry, "", entry.figures)
    else:
        yield from _live(name, totals, entry, backend=backend)


def _note(name: str, totals: Totals, entry: Entry) -> Iterator[Event]:
    """What the agent did, and what it knows of the run that it did it to."""
    run = totals.runs.get(entry.invocation)
    figures = {key: value for key, value in entry.figures.items() if key not in _MOMENTARY}
    if run and entry.kind in {Kind.IDLE_STOP, Kind.ENDED}:
        run.figures |= figures
        run.latest = entry.realtime
    if entry.kind is Kind.IDLE_STOP:
        totals.decided, totals.decided_at = entry.invocation, entry.monotonic
    elif entry.kind is Kind.ENDED and entry.invocation in totals.ended:
        yield _event(name, FIGURES, entry, "", figures)
    elif entry.kind is Kind.IDLE_STOP_REFUSED:
        totals.decided = ""
        if run:
            run.figures.clear()
    elif entry.kind is Kind.REARMED:
        totals.rearmed += 1
    elif entry.kind is Kind.LEAK:
        totals.leaks += 1
    if event := TOLD.get(entry.kind):
        yield _event(name, event, entry, entry.result, entry.figures)


def _live(name: str, totals: Totals, entry: Entry, *, backend: bool) -> Iterator[Event]:
    """A step in the life of a run; of a proxy's, which is not counted, nothing is told."""
    run = totals.runs.get(entry.invocation)
    if not run:
        if entry.kind not in _OPENS or not entry.invocation or entry.invocation in totals.ended:
            return
        for invocation in [key for key, other in totals.runs.items() if other.unit == entry.unit]:
            yield from _supersede(name, totals, invocation)
        run = _open(totals, entry, backend=backend)
        if not run.frontend:
            yield _event(name, "starting", entry)
    run.latest = entry.realtime
    for event in _advance(name, totals, run, entry):
        if not run.frontend:
            yield event


def _open(totals: Totals, entry: Entry, *, backend: bool) -> Run:
    # A proxy starts after its backend and ends with it; a server of the same unit name never has one running.
    frontend = not backend and bool(totals.runs)
    alone = backend and of_end(totals.last_reason) in _FAULTS
    run = Run(entry.unit, entry.boot, entry.realtime, entry.monotonic, frontend=frontend, alone=alone)
    if frontend:
        for needed in totals.runs.values():
            needed.alone = False
    totals.runs[entry.invocation] = run
    if not frontend:
        totals.ordered, totals.counted = "", entry.unit
        totals.starts += 1
    return run


def _advance(name: str, totals: Totals, run: Run, entry: Entry) -> Iterator[Event]:
    if entry.kind is Kind.STARTED:
        if not run.active:
            yield _event(name, "ready", entry, "", _time_start(totals, run, entry))
        run.active, run.ready = True, run.ready or entry.monotonic
    elif entry.kind is Kind.STOPPING:
        if not run.stopping:
            yield _event(name, "stopping", entry)
            run.ordered = _cause(totals, run, entry)
        run.stopping = True
    elif entry.kind is Kind.OUT_OF_MEMORY:
        run.out_of_memory = True
    elif entry.kind is Kind.EXITED:
        run.exit = run.exit or entry.result
    elif entry.kind is Kind.PROBE_FAILED:
        run.exit, run.probe_failed = run.exit or entry.result, run.probe_failed or not run.exit
    elif entry.kind in _ENDS:
        reason = _reason(totals, run, entry)
        if not run.active and not run.frontend and of_end(reason) in _FAULTS:
            totals.failed_starts += 1
        figures = _figures(run, entry, reason)
        _end(totals, entry.invocation, reason)
        yield _event(name, of_end(reason), entry, reason, figures)


def _cause(totals: Totals, run: Run, stopping: Entry) -> str:
    """Who wanted the stop that begins; an agent may end between its decision and the stop, and the run goes on."""
    if _is_decided(totals, stopping):
        return "idle"
    if totals.ordered and _is_recent(totals.ordered_at, stopping):
        return totals.ordered
    return "idle" if run.alone else ""  # systemd itself stops what nobody needs


def _is_decided(totals: Totals, stopping: Entry) -> bool:
    return stopping.invocation == totals.decided and _is_recent(totals.decided_at, stopping)


def _is_recent(order: int, stopping: Entry) -> bool:
    return 0 <= stopping.monotonic - order <= _ORDER_LASTS


def _time_start(totals: Totals, run: Run, entry: Entry) -> Figures:
    """Count how long the start took, where two entries tell."""
    if run.frontend or entry.monotonic <= run.monotonic:
        return {}
    # The clock may be set meanwhile, and journald may take an entry late: the shorter of both is nearer.
    by_clock, by_uptime = entry.realtime - run.realtime, entry.monotonic - run.monotonic
    seconds = (min(by_clock, by_uptime) if by_clock >= 0 else by_uptime) / 1e6
    place = sum(1 for bound in BUCKETS if seconds > bound)
    totals.durations[place] += 1
    totals.duration_sum += seconds
    return {"seconds": seconds}


def _reason(totals: Totals, run: Run, entry: Entry) -> str:
    if entry.result == "oom-kill":
        return "oom"
    if run.ordered:
        return run.ordered
    if entry.result == "timeout" and run.active:
        return "stop_timeout" if run.stopping else "max_runtime"
    if run.out_of_memory and entry.kind is Kind.FAILURE:
        return "oom"  # one that lost a process and went on ends for another reason
    if entry.result == "timeout":
        return "start_timeout"
    if entry.kind is Kind.FAILURE:
        return "health" if run.probe_failed else "crash"
    if not run.stopping and _is_decided(totals, entry):
        return "idle"  # nothing tells that the stop began
    return "manual" if run.stopping or not run.active or entry.kind is Kind.STOPPED else "exit"


def _figures(run: Run, entry: Entry, reason: str) -> Figures:
    """What is known of a run at its end."""
    figures = dict(run.figures)
    if run.active and entry.monotonic > run.ready:
        figures["uptime_seconds"] = (entry.monotonic - run.ready) / 1e6
    if of_end(reason) == "crashed":
        figures["exit"] = exits.explain(reason, entry.result, run.exit)
    return figures


def _supersede(name: str, totals: Totals, invocation: str) -> Iterator[Event]:
    """End a run that another one follows; systemd writes nothing while journald restarts, the agent does."""
    run = totals.runs[invocation]
    if invocation == totals.decided and not run.stopping:
        run.stopping, run.ordered = True, "idle"
    yield from _lose(name, totals, invocation)


def _lose(name: str, totals: Totals, invocation: str) -> Iterator[Event]:
    """End a run of whose end no entry tells, at best of its stop; its event is of the time it was last heard of."""
    run = totals.runs[invocation]
    reason = (run.ordered or "manual") if run.stopping else "lost"
    _end(totals, invocation, reason)
    if not run.frontend:
        yield Event(run.latest / 1e6, of_end(reason), name, run.unit, invocation, reason, dict(run.figures))


def _end(totals: Totals, invocation: str, reason: str) -> None:
    run = totals.runs.pop(invocation)
    totals.ended = [*totals.ended, invocation][-_REMEMBERED:]
    if invocation == totals.decided:
        totals.decided = ""
    if not run.frontend:
        totals.ordered = ""
        totals.stops[reason] = totals.stops.get(reason, 0) + 1
        totals.last_reason = reason


def _event(
    name: str, event: str, entry: Entry, reason: str = "", figures: Mapping[str, float | int | str] = NOTHING
) -> Event:
    return Event(entry.realtime / 1e6, event, name, entry.unit, entry.invocation, reason, figures)
