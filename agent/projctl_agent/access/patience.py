"""Ends what one line of a hostile log would keep the agent at: a regular expression can take for ever."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class Patience(AbstractContextManager[None]):
    """Around a match in the main thread: raises TimeoutError after so many seconds.

    The matcher looks for signals while it works; nothing else of this process uses this one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting = False
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, *_: object) -> None:
        if self._waiting:
            self._waiting = False
            raise TimeoutError

    def __enter__(self) -> None:
        self._waiting = True
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting = False
        signal.setitimer(signal.ITIMER_REAL, 0)
