"""All access logs that are read: those of projects that run or ran since the last pass, each with its own place."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from projctl_agent.access import kept, lines
from projctl_agent.access.journal import Pass
from projctl_agent.access.patience import Patience
from projctl_agent.access.tally import Log, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from projctl_agent.access.lines import Request
    from projctl_agent.access.tally import Moment
    from projctl_agent.journal import Scope
    from projctl_agent.settings import Settings

#: Seconds of reading between two breaths of the event loop: lines may be made to take long.
_BREATH = 0.02
#: Seconds that one line may take to match, and how many such lines end the reading of this log.
_PATIENCE, _SLOW_LINES = 0.05, 3
#: Seconds after a project was last seen running until its last lines are in the journal for sure.
_GRACE = 10.0


class AccessLogs:
    """Reads on where it stopped, which `file` keeps; `report` is told once of each log that cannot be read."""

    def __init__(self, scope: Scope, file: Path | None, report: Callable[[str], None]) -> None:
        self._scope = scope
        self._file = file
        self._report = report
        self._logs = self._restore()
        self._unsaved = self._unknown = False
        # What ran while no agent did is read once.
        self._due = dict.fromkeys(self._logs, 0.0)
        self._given_up: dict[str, str] = {}
        self._patience = Patience(_PATIENCE)
        self._reading = asyncio.Lock()

    def _restore(self) -> dict[str, Log]:
        try:
            return kept.load(self._file) if self._file else {}
        except ValueError as error:
            self._report(f"cannot use what was known of access logs, reading them anew: {error}")
            return {}

    def save(self, *, surely: bool = True) -> None:
        """Keep what was read since the last time, if anything was; else only where a log is new.

        Another agent can read on in all logs that are known, and so finds what was not kept.
        """
        if not self._file or not (self._unsaved if surely else self._unknown):
            return
        try:
            kept.save(self._file, self._logs)
            self._unsaved = self._unknown = False
        except OSError as error:
            self._report(f"cannot save what access logs told: {error}")

    def logs(self) -> Mapping[str, Log]:
        """By instance, also of those that sleep."""
        return self._logs

    def forget(self, instances: Iterable[str]) -> None:
        """These were removed."""
        for instance in instances:
            self._due.pop(instance, None)
            self._unsaved |= self._logs.pop(instance, None) is not None

    def seen(self, running: Iterable[Settings]) -> None:
        """These run now, or did since the last call."""
        for settings in running:
            if pattern := settings.access_log:
                self._unknown |= settings.instance not in self._logs
                log = self._logs.setdefault(settings.instance, Log(settings.primary, pattern))
                log.unit, log.pattern = settings.primary, pattern
                self._due[settings.instance] = time.monotonic()

    async def read(self, seconds: float) -> bool:
        """Take over what is new, for so long at the most; whether that was all. Raises OSError."""
        if not self._due:
            return True
        async with self._reading:
            deadline = time.monotonic() + seconds
            reading = Pass(self._scope)
            try:
                for instance in list(self._due):
                    if instance in self._due and not await self._read(instance, reading, deadline):
                        # Who writes more than can be read waits for the others.
                        if instance in self._due:
                            self._due[instance] = self._due.pop(instance)
                        return False
            finally:
                reading.close()
        return True

    async def _read(self, instance: str, reading: Pass, deadline: float) -> bool:
        """One log; whether its end was reached in time."""
        log, begun = self._logs[instance], time.monotonic()
        if self._given_up.get(instance) != log.pattern and not await self._follow(
            instance, log, reading, deadline
        ):
            return False
        if begun - self._due.get(instance, begun) > _GRACE:
            del self._due[instance]
        return True

    async def _follow(self, instance: str, log: Log, reading: Pass, deadline: float) -> bool:
        try:
            read = lines.reader(log.pattern, self._patience)
        except ValueError as error:
            self._give_up(instance, log, f"its pattern {error}")
            return True
        entries = self._entries(instance, log, reading)
        slow, some, breath = 0, False, time.monotonic() + _BREATH
        try:
            for entry in entries:
                some = True
                slow += entry is not None and not _take(log.tally, entry, read, reading)
                if slow >= _SLOW_LINES:
                    self._give_up(instance, log, "its pattern takes too long")
                    return True
                if (now := time.monotonic()) > breath:
                    log.cursor, breath = reading.cursor(), now + _BREATH
                    await asyncio.sleep(0)
                    if now > deadline:
                        return False
        finally:
            # Figures and place belong together, whatever ended this.
            if some:
                self._unsaved = True
                log.cursor = reading.cursor()
        return True

    def _entries(self, instance: str, log: Log, reading: Pass) -> Iterator[str | Moment | None]:
        try:
            return reading.read(log.unit, log.cursor)
        except (ValueError, OSError):
            self._report(f"cannot use the place in the access log of {instance}, reading all of it")
            log.cursor, log.tally = "", Tally()
            return reading.read(log.unit, "")

    def _give_up(self, instance: str, log: Log, why: str) -> None:
        self._given_up[instance] = log.pattern
        self._report(f"cannot read the access log of {instance}: {why}")


def _take(tally: Tally, entry: str | Moment, read: Callable[[str], Request | None], reading: Pass) -> bool:
    """Add an entry up; False where it took too long to read."""
    if not isinstance(entry, str):
        tally.begin(entry)
        return True
    try:
        request = read(entry)
    except TimeoutError:
        return False
    if request:
        tally.count(request, reading.moment() if tally.start else None)
    return True
