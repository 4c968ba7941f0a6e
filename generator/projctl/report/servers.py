"""Histories → the figures of each server: time, memory, starts, outages; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from projctl.report import history as history_
from projctl.report.spans import Span, common, merged, total, without

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from projctl.portlist import RangeUse
    from projctl.report.history import History, Run
    from projctl.report.requests import Requests

#: What ends an outage besides the next server that is ready: the socket waits for connections again.
_RELIEFS = frozenset({"rearmed", "down"})
#: Seconds between the beginning of warm hours and the start that they bring, whichever is written down first.
_AHEAD = 30.0


@dataclass(frozen=True)
class Settings:
    """What the installed units of a server say; None: no such limit."""

    idle_stop: float | None = None
    min_uptime: float | None = None
    memory_max: str | None = None


@dataclass(frozen=True)
class Live:
    """A server that runs now: since when, and where they are known, its memory and for how long nobody used it."""

    began: float
    memory: float | None = None
    idle: float | None = None


@dataclass(frozen=True)
class Facts:
    """What is known besides the events. `since` is when a server's ports were given; `complete` is whether the
    records reach back to the beginning of the window."""

    window: Span
    installed: Mapping[str, Settings] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)
    live: Mapping[str, Live] = field(default_factory=dict)
    requests: Mapping[str, Requests] = field(default_factory=dict)
    ranges: tuple[RangeUse, ...] | None = None
    complete: bool = False
    host: str = ""
    zone: tzinfo = UTC


@dataclass(frozen=True)
class Server:
    """One server in the window. `lived` is when it was there to be used: since it was known, not taken down."""

    name: str
    history: History
    window: Span
    lived: list[Span]
    live: Live | None = None
    settings: Settings | None = None
    requests: Requests | None = None

    @property
    def project(self) -> str:
        """The project whose server it is."""
        return self.name.partition("@")[0]

    @cached_property
    def runs(self) -> list[Run]:
        """Its runs that lie in the window, at least in part."""
        return [run for run in self.history.runs if run.span(self.window).seconds or self._began_here(run)]

    @cached_property
    def up(self) -> list[Span]:
        """When it ran, from the beginning of each start on."""
        return merged(run.span(self.window) for run in self.runs)

    @cached_property
    def starts(self) -> list[Run]:
        """The runs that began in the window."""
        return [run for run in self.runs if self._began_here(run)]

    @cached_property
    def cold(self) -> list[float]:
        """Seconds of each start that was not made ahead of use, as warm hours began."""
        ahead = self.history.times("warm")
        return [
            run.start_seconds
            for run in self.starts
            if run.start_seconds is not None
            and not any(abs(time - (run.began or 0.0)) <= _AHEAD for time in ahead)
        ]

    @cached_property
    def memory(self) -> float | None:
        """Bytes while it runs: the mean of what its runs had when they ended, longer runs weighing more."""
        known = [(run.figures["memory_bytes"], run.span(self.window).seconds) for run in self._measured]
        weight = math.fsum(seconds for _, seconds in known)
        if not weight:
            return self.live.memory if self.live else None
        return math.fsum(size * seconds for size, seconds in known) / weight

    @property
    def _measured(self) -> list[Run]:
        return [run for run in self.runs if "memory_bytes" in run.figures]

    @cached_property
    def loads(self) -> list[tuple[Span, float]]:
        """When it needed how many bytes; a run without a figure of its own counts by the mean."""
        return [
            (span, run.figures.get("memory_bytes", self.memory or 0.0))
            for run in self.runs
            for span in common([run.span(self.window)], self.lived)
        ]

    @property
    def used(self) -> float | None:
        """Byte-seconds that it needed; None where its memory is not known."""
        return None if self.memory is None else math.fsum(span.seconds * size for span, size in self.loads)

    @property
    def always_on(self) -> float | None:
        """Byte-seconds that it would have needed, had it never slept."""
        return None if self.memory is None else self.memory * total(self.lived)

    @cached_property
    def outages(self) -> list[Span]:
        """When it could not serve although nobody had taken it down."""
        found = [span.within(self.window) for span in _outages(self.history, self.window)]
        return common(found, self.lived)

    @property
    def successions(self) -> Iterator[tuple[Run, Run]]:
        """Each run that began in the window, after the one before it."""
        return ((old, new) for old, new in pairwise(self.history.runs) if self._began_here(new))

    def _began_here(self, run: Run) -> bool:
        return run.began is not None and self.window.begin <= run.began < self.window.end


def measure(histories: Mapping[str, History], facts: Facts) -> list[Server]:
    """All servers that are installed or have a history, by name."""
    window = recorded(histories.values(), facts)
    running = {name: live.began for name, live in facts.live.items()}
    known = history_.complete(histories, running, window)
    names = sorted(known.keys() | facts.installed.keys())
    return [_server(name, known.get(name, history_.History()), facts, window) for name in names]


def recorded(histories: Iterable[History], facts: Facts) -> Span:
    """The part of the window that there are records of."""
    firsts = [history.first for history in histories if history.first is not None]
    begin = facts.window.begin if facts.complete else min([*firsts, facts.window.end])
    return Span(max(begin, facts.window.begin), facts.window.end)


def _server(name: str, history: History, facts: Facts, window: Span) -> Server:
    heard = [run.began for run in history.runs if run.began is not None]
    heard += [time for time in (history.first, facts.since.get(name)) if time is not None]
    gone = name not in facts.installed and name not in facts.live
    there = Span(min([*heard, window.end]), history.last or window.end if gone else window.end)
    return Server(
        name, history, window, without(there.within(window), history.down(window)),
        facts.live.get(name), facts.installed.get(name), facts.requests.get(name),
    )  # fmt: skip


def _outages(history: History, window: Span) -> list[Span]:
    """From a fault until the next server that is ready; a start that fails counts from its beginning on."""
    found: list[Span] = []
    begin: float | None = None
    for run in history.runs:
        if begin is not None:
            relief = min([*_reliefs(history, begin), window.end])
            ends = [
                time for time in (relief, run.ready, None if run.broke else run.ended) if time is not None
            ]
            if min(ends) <= (run.ended or window.end):
                found.append(Span(begin, min(ends)))
                begin = None
        if run.broke and begin is None:
            begin = run.began if run.failed_to_start else run.ended
    if begin is not None:
        found.append(Span(begin, min([*_reliefs(history, begin), window.end])))
    return found + _closed_sockets(history)


def _reliefs(history: History, after: float) -> list[float]:
    return [time for time, kind in history.marks if kind in _RELIEFS and time > after]


def _closed_sockets(history: History) -> list[Span]:
    """A socket that was opened again had been closed since the end of the run before, at the latest."""
    found = []
    for time in history.times("rearmed"):
        ends = [run.ended for run in history.runs if run.ended is not None and run.ended <= time]
        if ends:
            found.append(Span(max(ends), time))
    return found
