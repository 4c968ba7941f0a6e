"""Events → what each server went through: its runs, when it was taken down, what the agent noted; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl.report.spans import Span, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projctl.report.events import Event

#: Ends of a run that are the server's fault.
FAULTS = frozenset({"crash", "oom", "start_timeout", "health"})
_ENDS = frozenset({"stopped", "crashed", "oom"})
_OF_RUNS = frozenset({"starting", "ready", "stopping", "idle_stop", "frozen", "thawed"}) | _ENDS


@dataclass(slots=True, eq=False)
class Run:
    """One run of a server. `began` None: before the first event about it; `ended` None: it goes on."""

    began: float | None = None
    ready: float | None = None
    stopping: float | None = None
    ended: float | None = None
    reason: str = ""
    exit: str = ""
    idle_stop: bool = False
    start_seconds: float | None = None
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def failed_to_start(self) -> bool:
        """Whether it ended by a fault before it was ready; a run whose start is not recorded did not."""
        return self.began is not None and self.ready is None and self.reason in FAULTS

    @property
    def broke(self) -> bool:
        """Whether it left its project without service: a fault, but not of a server that was being stopped."""
        return self.reason in FAULTS and (self.stopping is None or self.reason == "health")

    def span(self, window: Span) -> Span:
        """When it ran, as far as that lies in the window."""
        begin = window.begin if self.began is None else self.began
        return Span(begin, window.end if self.ended is None else self.ended).within(window)


@dataclass(slots=True)
class History:
    """Everything recorded of one server, in the order of the journal."""

    runs: list[Run] = field(default_factory=list)
    first: float | None = None
    last: float | None = None
    downs: list[Span] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    down_since: float | None = None
    #: Whose run an event is about.
    by_invocation: dict[str, Run] = field(default_factory=dict)

    def down(self, window: Span) -> list[Span]:
        """When somebody had closed its sockets on purpose."""
        rest = [] if self.down_since is None else [Span(self.down_since, window.end)]
        return merged(span.within(window) for span in [*self.downs, *rest])

    def times(self, kind: str) -> list[float]:
        """When events of this kind were, of those that are about no run."""
        return [time for time, mark in self.marks if mark == kind]

    def count(self, kind: str) -> int:
        """How many events of this kind there were, of those that are about no run."""
        return len(self.times(kind))


def tell(events: Iterable[Event], window: Span) -> dict[str, History]:
    """The history of each server that an event names; events must come in the order of the journal.

    Of what came after the window nothing is told but that a run had begun before.
    """
    found: dict[str, History] = {}
    for event in events:
        history = found.setdefault(event.server, History())
        if event.time <= window.end:
            _take(history, event)
        elif event.kind in _ENDS:
            _look_back(history, event, window)
    return found


def _look_back(history: History, event: Event, window: Span) -> None:
    run = history.by_invocation.get(event.invocation)
    uptime = event.figures.get("uptime_seconds")
    if run:
        run.figures.update(event.figures)
    elif uptime is not None and event.time - uptime < window.end:
        run = _add(history, event)
        run.began = run.ready = event.time - uptime
        run.figures.update(event.figures)


def _take(history: History, event: Event) -> None:
    history.first = event.time if history.first is None else min(history.first, event.time)
    history.last = event.time if history.last is None else max(history.last, event.time)
    if event.kind in _OF_RUNS:
        _advance(history, _run_of(history, event), event)
        return
    history.marks.append((event.time, event.kind))
    if event.kind == "down" and history.down_since is None:
        history.down_since = event.time
    elif event.kind == "up":
        if not history.runs and not history.downs and history.down_since is None:
            history.down_since = 0.0  # since before all that is told
        _come_up(history, event.time)


def _come_up(history: History, now: float) -> None:
    if history.down_since is not None:
        history.downs.append(Span(history.down_since, now))
        history.down_since = None


def _run_of(history: History, event: Event) -> Run:
    """The run that the event is about: the one of its invocation, else the one that goes on, else a new one."""
    if known := history.by_invocation.get(event.invocation):
        return known
    current = history.runs[-1] if history.runs else None
    if current and current.ended is None:
        if not event.invocation and event.kind != "starting":
            return current
        # Nothing tells of its end: it ended at the latest when the next run was heard of.
        current.ended, current.reason = event.time, "lost"
    return _add(history, event)


def _add(history: History, event: Event) -> Run:
    run = Run()
    history.runs.append(run)
    if event.invocation:
        history.by_invocation[event.invocation] = run
    return run


def _advance(history: History, run: Run, event: Event) -> None:
    if event.kind == "starting":
        run.began = event.time
        _come_up(history, event.time)
    elif event.kind == "ready":
        run.ready, run.start_seconds = event.time, event.figures.get("seconds")
    elif event.kind == "stopping":
        run.stopping = event.time
    elif event.kind == "idle_stop":
        run.idle_stop = True
    elif event.kind in _ENDS:
        run.ended, run.exit = event.time, event.exit
        run.reason = event.reason or {"oom": "oom", "crashed": "crash"}.get(event.kind, "exit")
    run.figures.update(event.figures)
    if run.began is None and event.kind in _ENDS and "uptime_seconds" in run.figures:
        run.began = run.ready = event.time - run.figures["uptime_seconds"]


def complete(
    histories: Mapping[str, History], running: Mapping[str, float], window: Span
) -> dict[str, History]:
    """Add runs that began before all events and still go on; `running` are the seconds that servers run by now."""
    found = dict(histories)
    for server, began in running.items():
        history = found.setdefault(server, History())
        if began < window.end and not any(run.ended is None for run in history.runs):
            later = [run for run in history.runs if (run.began or window.begin) >= began]
            if not later:
                history.runs.append(Run(began=began, ready=began))
    return found
