"""One computation for many askers, and a rest after each: questions cannot keep the agent busy."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
#: The longest rest in seconds; shorter computations are followed by a rest as long as they were.
_LONGEST_REST = 0.5
#: Seconds that an answer is kept at the most.
_LIFE = 0.5


class Turns(Generic[T]):
    """Answers to questions of several kinds, one computation at a time.

    Who asks while another computation runs, or the rest after it, shares the next one of that kind: an answer
    is never older than its question.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._rested = 0.0
        self._next: dict[str, asyncio.Task[T]] = {}

    async def ask(self, kind: str, compute: Callable[[], Awaitable[T]]) -> T:
        """The answer of the next turn, as `compute` gives it; raises what that raises."""
        if kind not in self._next:
            self._next[kind] = asyncio.get_running_loop().create_task(self._turn(kind, compute))
        # Others may wait for it when this asker has gone.
        return await asyncio.shield(self._next[kind])

    async def _turn(self, kind: str, compute: Callable[[], Awaitable[T]]) -> T:
        async with self._lock:
            await asyncio.sleep(max(0.0, self._rested - time.monotonic()))
            del self._next[kind]
            begun = time.monotonic()
            try:
                return await compute()
            finally:
                ended = time.monotonic()
                self._rested = ended + min(ended - begun, _LONGEST_REST)


class Kept(Generic[T]):
    """One answer for all who ask soon after each other, made anew once it is forgotten or old."""

    def __init__(self, compute: Callable[[], Awaitable[T]]) -> None:
        self._compute = compute
        self._turns: Turns[T] = Turns()
        self._answer: tuple[float, T] | None = None
        self._changes = 0

    def forget(self) -> None:
        """What it was made of has changed."""
        self._changes += 1
        self._answer = None

    async def ask(self) -> T:
        """The answer; raises what `compute` raises."""
        if self._answer and time.monotonic() < self._answer[0]:
            return self._answer[1]
        return await self._turns.ask("", self._make)

    async def _make(self) -> T:
        changes = self._changes
        answer = await self._compute()
        if changes == self._changes:
            self._answer = (time.monotonic() + _LIFE, answer)
        return answer


async def first_of(*waits: Awaitable[object]) -> None:
    """Wait until the first of these ends, and end the others; raises what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
