"""Takes the orders to hold projects awake and to release them: who may give them, and what follows."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

from projctl_agent import messages
from projctl_agent.holds import Hold
from projctl_agent.local import Answer, RefusedError, line
from projctl_agent.names import is_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl_agent.fleet import Fleet
    from projctl_agent.holds import Holds
    from projctl_agent.local import Request, Services

_LONGEST_SPAN = 1e9
#: Seconds from a look for ended holds to the next, at the least: clocks are corrected meanwhile.
_SHORTEST = 0.05


class Holding:
    """Orders of root, and in user mode of the user, about projects that are installed.

    `changed` is told when what is held has changed.
    """

    def __init__(self, holds: Holds, fleet: Fleet, changed: Callable[[], None], *, user: bool) -> None:
        self._holds = holds
        self._fleet = fleet
        self._changed = changed
        self._trusted = {0, os.getuid()} if user else {0}
        self._end: asyncio.TimerHandle | None = None

    def services(self) -> Services:
        """The orders that can be given."""
        return {
            ("order", "hold"): Answer(self.hold, frozenset({"project", "seconds"})),
            ("order", "release"): Answer(self.release, frozenset({"project"})),
        }

    async def hold(self, request: Request) -> bytes:
        """Hold all instances of the project, or the one that is named. Raises RefusedError."""
        self._authorise(request)
        seconds = _span(request.more.get("seconds"))
        instances, now = await self._instances(request), time.time()
        hold = Hold(request.uid, now, None if seconds is None else now + seconds)
        try:
            self._holds.hold(instances, hold)
        except OSError as error:
            raise RefusedError(f"cannot keep the hold: {error}") from None
        self._tell(messages.hold, instances, hold)
        return line(held=dict.fromkeys(instances, hold.until))

    async def release(self, request: Request) -> bytes:
        """End what holds them. Raises RefusedError."""
        self._authorise(request)
        instances, now = await self._instances(request), time.time()
        try:
            ended = self._holds.release(instances, now)
        except OSError as error:
            raise RefusedError(f"cannot keep the release: {error}") from None
        self._tell(messages.release, ended, Hold(request.uid, now, None))
        return line(released=ended)

    def follow(self) -> None:
        """Tell of every hold that ends by its time, when it does; first of those that did while nobody was there."""
        for instance, hold in self._holds.expired(time.time()).items():
            self._write(messages.expired, instance, hold)
            self._changed()
        if self._end:
            self._end.cancel()
        end = self._holds.next_end()
        loop, soon = asyncio.get_running_loop(), time.monotonic() + _SHORTEST
        self._end = None if end is None else loop.call_at(max(soon, end), self.follow)

    def _tell(self, message: Any, instances: list[str], hold: Hold) -> None:  # noqa: ANN401
        for instance in instances:
            self._write(message, instance, hold)
        self._fleet.remind(instances)
        self._changed()
        self.follow()

    def _write(self, message: Any, instance: str, hold: Hold) -> None:  # noqa: ANN401
        watch = self._fleet.watches().get(instance)
        message(instance, f"projctl-{instance}.service", watch and watch.invocation, hold)

    def _authorise(self, request: Request) -> None:
        if request.uid not in self._trusted:
            raise RefusedError("permission denied: only root may order that, or the user whose agent it is")

    async def _instances(self, request: Request) -> list[str]:
        project = request.more.get("project")
        if not isinstance(project, str):
            raise RefusedError('"project" must be a name')
        known = (await self._fleet.survey()).states
        wanted = sorted(name for name in known if is_of(name, project))
        if not wanted:
            raise RefusedError(f"cannot find the project {json.dumps(project)}")
        return wanted


def _span(value: object) -> float | None:
    """Seconds, None without an end. Raises RefusedError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST_SPAN:
        raise RefusedError('"seconds" must be a number above 0 and below 30 years')
    return float(value)
