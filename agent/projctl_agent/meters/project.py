"""The meters of one instance, fed by what the journal tells and by looks at what runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl_agent.event import ENDS, FIGURES, USED
from projctl_agent.meters.meter import Meter

if TYPE_CHECKING:
    from projctl_agent.entry import Entry
    from projctl_agent.event import Event

#: Why a run ends after which nothing runs and nothing is broken.
_SLEEPS_AFTER = frozenset({"idle", "max_runtime", "manual", "exit"})
#: Seconds that a sleep lasts until all figures of the run before it are there.
_FIGURES_ARE_THERE = 5.0


@dataclass(slots=True)
class Sleep:
    """Since when (microseconds of `boot`) nothing runs, known by the run that ended or the boot."""

    key: str
    boot: str
    since: int


@dataclass(slots=True)
class Meters:
    """Seconds, bytes, and bytes times seconds. `peak` is the most memory of the run `peak_of`.

    `remembered` is memory times seconds over the `weight` of seconds that it is known of: their quotient is the
    average memory of a running server.
    """

    cpu: Meter = field(default_factory=Meter)
    received: Meter = field(default_factory=Meter)
    sent: Meter = field(default_factory=Meter)
    running: Meter = field(default_factory=Meter)
    asleep: Meter = field(default_factory=Meter)
    saved: Meter = field(default_factory=Meter)
    frozen: Meter = field(default_factory=Meter)
    remembered: Meter = field(default_factory=Meter)
    weight: Meter = field(default_factory=Meter)
    peak: int = 0
    peak_of: str = ""
    sleep: Sleep | None = None
    uptime: float = 0.0
    uptime_of: str = ""

    def feed(self, entry: Entry, event: Event) -> None:
        """An event and the entry it follows from."""
        if event.event == "starting":
            self._wake(entry)
        elif event.event in ENDS:
            self._end(entry, event)
        elif event.event in {FIGURES, USED}:
            self._take(event)
        elif event.event == "thawed":
            self._thaw(entry, event)
        elif event.event == "down":
            self._wake(entry)

    def _end(self, entry: Entry, event: Event) -> None:
        # What a boot ended was told by an entry of another one.
        told = event.invocation == entry.invocation
        uptime = float(event.figures.get("uptime_seconds", 0.0)) if told else 0.0
        self.running.observe(event.invocation, uptime)
        self.uptime, self.uptime_of = uptime, event.invocation
        self._take(event)
        if told and event.reason in _SLEEPS_AFTER:
            self.sleep = Sleep(event.invocation, entry.boot, entry.monotonic)

    def _take(self, event: Event) -> None:
        """The figures of a run that has ended."""
        figures = {key: value for key, value in event.figures.items() if not isinstance(value, str)}
        run = event.invocation
        self.cpu.observe(run, figures.get("cpu_seconds", 0.0))
        self.see_peak(run, int(figures.get("memory_peak_bytes", 0)))
        if run == self.uptime_of and "memory_bytes" in figures:
            self.remembered.observe(run, figures["memory_bytes"] * self.uptime)
            self.weight.observe(run, self.uptime)

    def _thaw(self, entry: Entry, event: Event) -> None:
        seconds = event.figures.get("frozen_seconds", 0.0)
        if not isinstance(seconds, str):
            self.frozen.observe(f"{entry.boot} {entry.monotonic}", seconds)

    def see_peak(self, run: str, size: int) -> None:
        """The most memory that a run had so far."""
        self.peak = max(self.peak, size) if run == self.peak_of else size or self.peak
        self.peak_of = run if size else self.peak_of

    def _wake(self, entry: Entry) -> None:
        if self.sleep and self.sleep.boot == entry.boot:
            self._slept(self.sleep, (entry.monotonic - self.sleep.since) / 1e6)
        self.sleep = None

    def rests(self, boot: str, now: int) -> bool:
        """It sleeps at this moment (microseconds of `boot`); whether that was not known."""
        new = self.sleep is None or self.sleep.boot != boot
        if self.sleep is None or new:
            self.sleep = Sleep(f"{boot} {now}", boot, now)
        seconds = (now - self.sleep.since) / 1e6
        if seconds >= _FIGURES_ARE_THERE:
            self._slept(self.sleep, seconds)
        return new

    def _slept(self, sleep: Sleep, seconds: float) -> None:
        self.asleep.observe(sleep.key, max(0.0, seconds))
        if self.weight.total:
            average = self.remembered.total / self.weight.total
            self.saved.observe(sleep.key, average * max(0.0, seconds))
