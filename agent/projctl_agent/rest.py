"""When nothing runs nothing has to be done at intervals: chores rest until something happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Rest:
    """Asks `busy` whether chores have anything to do."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._disturbed = asyncio.Event()

    def disturb(self) -> None:
        """Something has happened: every chore that rests has another turn."""
        self._disturbed.set()

    def begins(self) -> bool:
        """Whether a chore that has had its turn may rest now."""
        self._disturbed.clear()
        return not self._busy()

    async def over(self) -> None:
        """Return when something has happened."""
        await self._disturbed.wait()
