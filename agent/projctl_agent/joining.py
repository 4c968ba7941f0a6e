"""Figures that the agent tells after systemd told of a run's end, put into the event of that end."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from projctl_agent.event import ENDS, FIGURES, USED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projctl_agent.event import Event, Figures

#: Seconds that an end, and all that comes after it, waits for its figures.
PATIENCE = 2.0
_OF_ENDED = frozenset({FIGURES, USED})
_LATE = ENDS | _OF_ENDED
#: What the journal tells of every end by itself.
_OWN = frozenset({"uptime_seconds", "exit"})


class Joining:
    """Keeps the order of events; holds back what waits for figures."""

    def __init__(self) -> None:
        self._held: deque[tuple[Event, bool]] = deque()

    def __iter__(self) -> Iterator[Event]:
        """What is held back."""
        return (event for event, _ in self._held)

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held)

    def feed(self, events: Iterable[Event]) -> Iterator[Event]:
        """Take events, give those that are complete or have waited long enough by the time of later ones."""
        for event in events:
            if not self._held and event.event not in _LATE:
                yield event
                continue
            if event.event in _OF_ENDED:
                self._complete(event)
            else:
                self._held.append((event, _waits(event)))
            yield from self._release(event.time)

    def flush(self) -> Iterator[Event]:
        """All that is held back, as it is."""
        yield from self._release(float("inf"))

    def _complete(self, figures: Event) -> None:
        for place, (event, waits) in enumerate(self._held):
            if waits and event.invocation == figures.invocation:
                joined = event._replace(figures={**event.figures, **figures.figures, **_own(event)})
                self._held[place] = (joined, figures.event == USED)

    def _release(self, now: float) -> Iterator[Event]:
        while self._held and not (self._held[0][1] and now - self._held[0][0].time < PATIENCE):
            yield self._held.popleft()[0]


def _own(event: Event) -> Figures:
    return {key: value for key, value in event.figures.items() if key in _OWN}


def _waits(event: Event) -> bool:
    """Whether more may come: nobody watched a run that never was ready, and a lost one is long over."""
    return event.event in ENDS and event.reason != "lost" and "uptime_seconds" in event.figures and (
        event.figures.keys() <= _OWN
    )  # fmt: skip
