"""What a project's access log tells, added up: the same entries, the same figures, however they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent.buckets import Histogram

if TYPE_CHECKING:
    from projctl_agent.access.lines import Request

#: Upper bounds in seconds.
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FIRSTS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Moment(NamedTuple):
    """When an entry was written, in microseconds since `boot`, and by which run."""

    invocation: str
    boot: str
    monotonic: int


@dataclass(slots=True)
class Tally:
    """Requests of one instance by code, what they took, and what starts took until their first one was answered.

    `start` is the run that waits for its first request.
    """

    codes: dict[str, int] = field(default_factory=dict)
    durations: Histogram = field(default_factory=lambda: Histogram(DURATIONS))
    firsts: Histogram = field(default_factory=lambda: Histogram(FIRSTS))
    start: Moment | None = None

    def begin(self, start: Moment) -> None:
        """A run begins to start."""
        self.start = start

    def count(self, request: Request, at: Moment | None) -> None:
        """A request was answered; when matters while a run waits for its first one."""
        self.codes[request.code] = self.codes.get(request.code, 0) + 1
        if request.seconds is not None:
            self.durations.add(request.seconds)
        if self.start and at and self.start[:2] == at[:2]:
            seconds = (at.monotonic - self.start.monotonic) / 1e6
            # A server that was started by hand may wait for its first request as long as it likes.
            if 0 <= seconds <= FIRSTS[-1]:
                self.firsts.add(seconds)
            self.start = None


@dataclass(slots=True)
class Log:
    """One access log: whose, how its lines read, how far it was read and what it told so far."""

    unit: str
    pattern: str
    cursor: str = ""
    tally: Tally = field(default_factory=Tally)
