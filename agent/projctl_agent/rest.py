"""A chore wakes nobody: it is done when the agent is awake for something else, and rests while nothing runs."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds after which a chore has a turn where something runs, however seldom that is looked at.
_LONGEST = 3600.0
#: Seconds after the moment for which somebody planned to be awake: who is stopped before it never is.
_GRACE = 1.0


class Rest:
    """One chore's. Asks `busy` whether anything runs, and `planned` when it is looked at next, in monotonic seconds."""

    def __init__(self, busy: Callable[[], bool], planned: Callable[[], float] = lambda: math.inf) -> None:
        self._busy = busy
        self._planned = planned
        self._disturbed = asyncio.Event()

    def disturb(self) -> None:
        """The agent is awake: something has happened, or somebody has looked."""
        self._disturbed.set()

    def left(self) -> float:
        """Seconds until it is awake next, infinite while nothing runs."""
        if not self._busy():
            return math.inf
        return min(max(0.0, self._planned() - time.monotonic()), _LONGEST)

    async def turn(self, seconds: float, latest: float = math.inf) -> None:
        """Return when the agent is awake after so many seconds, or after `latest` in any case.

        What happened while the last one went to sleep is followed by one more turn.
        """
        begun, disturbed = time.monotonic(), False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(
                    self._until(begun + seconds, begun + latest, disturbed=disturbed)
                ):
                    await self._disturbed.wait()
            self._disturbed.clear()
            disturbed = True
            if time.monotonic() >= begun + seconds:
                return

    def _until(self, due: float, latest: float, *, disturbed: bool) -> float | None:
        left = self.left()
        if left < math.inf:
            return min(latest, max(due, time.monotonic() + left) + _GRACE)
        return due if disturbed else None
