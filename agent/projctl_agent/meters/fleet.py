"""The meters of all instances: what the journal tells, what looks at running ones find, and where it is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from projctl_agent.meters import kept
from projctl_agent.meters.project import Meters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from projctl_agent.entry import Entry
    from projctl_agent.event import Event
    from projctl_agent.lifecycle import Ledger
    from projctl_agent.usage import Bytes
    from projctl_agent.watch import Watch

#: Microseconds of a sleep that another boot may not know of.
_REST = 60_000_000


class FleetMeters:
    """By instance. What is shown must be kept before it is shown, so that no figure ever falls."""

    def __init__(self, file: Path | None, report: Callable[[str], None]) -> None:
        self._file = file
        self._report = report
        self._meters, self._until = self._restore()
        self._known_until = self._until
        self._unsaved = False
        self._rested = 0

    def _restore(self) -> tuple[dict[str, Meters], int]:
        try:
            return kept.load(self._file) if self._file else ({}, 0)
        except ValueError as error:
            self._report(f"cannot use what was known of the use of projects: {error}")
            return {}, 0

    def save(self, *, surely: bool = False) -> None:
        """Keep what has changed; `surely` over a power cut, too, which takes the disk's time."""
        if not self._file or not self._unsaved:
            return
        try:
            kept.save(self._file, self._meters, self._until, surely=surely)
            self._unsaved = not surely
        except OSError as error:
            self._report(f"cannot save the use of projects: {error}")

    def all(self) -> Mapping[str, Meters]:
        """By instance."""
        return self._meters

    def of(self, instance: str) -> Meters:
        """Those of one instance, from the first time on that anything asks."""
        self._unsaved = True
        return self._meters.setdefault(instance, Meters())

    def forget(self, instances: Iterable[str]) -> None:
        """These were removed."""
        for instance in instances:
            self._unsaved |= self._meters.pop(instance, None) is not None

    def again(self) -> None:
        """The journal is about to be fed from its beginning."""
        self._known_until = self._until

    def feed(self, entry: Entry, events: Iterable[Event]) -> None:
        """Take over an entry of the journal, given the events that follow from it, unless that was done before."""
        if entry.realtime <= self._known_until:
            return
        for event in events:
            self.of(event.instance).feed(entry, event)
        self._until = max(self._until, entry.realtime)

    def fed(self) -> None:
        """The journal has been fed to its end: what comes now is new."""
        self._known_until = 0

    def look(self, ledger: Ledger, watches: Mapping[str, Watch], moved: Mapping[str, Bytes]) -> None:
        """Take over what those that run have used by now, and what sockets have counted."""
        for name, counted in moved.items():
            self.of(name).received.read(ledger.boot, counted.received)
            self.of(name).sent.read(ledger.boot, counted.sent)
        now = time.monotonic()
        for name, watch in watches.items():
            meters, figures = self.of(name), watch.usage.figures
            meters.cpu.observe(watch.invocation, figures.cpu_seconds or 0.0)
            meters.see_peak(watch.invocation, figures.memory_peak_bytes or figures.memory_bytes or 0)
            totals = ledger.projects.get(name)
            run = totals.runs.get(watch.invocation) if totals else None
            if run and run.ready:
                meters.running.observe(watch.invocation, max(0.0, now - run.ready / 1e6))

    def rest(self, boot: str, states: Mapping[str, str], *, last: bool = False) -> None:
        """Take over who sleeps now; `last`: nobody will for a while.

        A sleep that goes on is found again by its beginning, so that it need not be kept each time.
        """
        now = int(time.monotonic() * 1e6)
        if last or now - self._rested > _REST:
            self._rested, self._unsaved = now, True
        for name, state in states.items():
            if state == "asleep":
                self._unsaved |= self._meters.setdefault(name, Meters()).rests(boot, now)
            elif state in {"down", "failed"} and name in self._meters:
                self._meters[name].sleep = None
