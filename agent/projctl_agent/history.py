"""What happened, from the journal's oldest entry on, and on request what goes on to happen."""

from __future__ import annotations

import re
import select
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl_agent.joining import PATIENCE, Joining
from projctl_agent.lifecycle import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl_agent.event import Event
    from projctl_agent.journal import Journal


@dataclass(frozen=True, slots=True)
class Window:
    """Which events are wanted, in seconds since 1970; both ends belong to it."""

    since: float
    until: float

    @classmethod
    def of(cls, since: float | None, until: float | None) -> Window:
        """None: without that end."""
        return cls(float("-inf") if since is None else since, float("inf") if until is None else until)

    def __contains__(self, event: Event) -> bool:
        return self.since <= event.time <= self.until


class History:
    """Reads on where it stopped. Reasons depend on what came before, so that it begins at the oldest entry.

    `after` and `upto` are cursors of entries: only the events after the one are told, and none after the other.
    Where `after` is gone from the journal, all that is later than it was is told.
    """

    def __init__(self, journal: Journal, after: str = "", upto: str = "") -> None:
        self.upto = upto
        self._journal = journal
        self._after = after if after and journal.has(after) else ""
        self._since = _moment_of(after) if after and not self._after else float("-inf")
        self._ledger = Ledger()
        self._joining = Joining()
        self._cursor = ""

    def read(self) -> Iterator[Event]:
        """The events that the journal tells of up to now. Raises OSError."""
        yield from self._go_on()
        if not self.upto:
            yield from self._joining.feed(self._ledger.turn_boot(self._journal.boot()))
        yield from self._joining.flush()

    def _go_on(self) -> Iterator[Event]:
        for entry, cursor in self._journal.read(self._cursor):
            self._cursor = cursor
            events = self._ledger.feed([entry]) if entry else []
            if events and not self._after:
                yield from self._joining.feed(self._placed(events, cursor))
            if cursor == self._after:
                self._after = ""
            if cursor == self.upto:
                return

    def _placed(self, events: list[Event], cursor: str) -> list[Event]:
        """The events that are wanted, with their place where somebody may go on from it."""
        if not self.upto:
            return events
        return [event._replace(cursor=cursor) for event in events if event.time > self._since]

    def follow(self, output: int) -> Iterator[Event | None]:
        """What comes after, None when it is time to show it; ends when nobody reads from `output` any more."""
        heard = self._cursor
        while True:
            with closing(self._journal.bell(heard)) as bell:
                poll = select.poll()
                poll.register(output, 0)
                poll.register(bell.fileno(), select.POLLIN)
                while not bell.rings():
                    ready = poll.poll(PATIENCE * 1000 if self._joining.holds else None)
                    if any(descriptor == output for descriptor, _ in ready):
                        return
                    if not ready:
                        yield from self._joining.flush()
                        yield None
                # What is about other projects rings, too, and is never read.
                heard = bell.newest() or heard
            yield from self._go_on()
            yield None


def _moment_of(cursor: str) -> float:
    """When the entry at a cursor was written, in seconds since 1970. Raises ValueError for other texts."""
    found = re.search(r"(?:^|;)t=([0-9a-f]{1,16})(?:;|$)", cursor)
    if not found:
        raise ValueError("not a cursor")
    return int(found[1], 16) / 1e6
