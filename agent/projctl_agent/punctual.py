"""An event loop whose timers are on time: epoll may sleep 0.1 % longer than it is told to, in nice processes 0.5 %."""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import selectors
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectors import SelectorKey

_SECOND = 10**9
# os has them from Python 3.13 on.
_libc = ctypes.CDLL(None, use_errno=True)


class _Span(ctypes.Structure):
    """struct timespec of clock_gettime(3)."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    """struct itimerspec of timerfd_settime(2): how often again, and when first; both nothing for never."""

    _fields_ = (("interval", _Span), ("first", _Span))


class PunctualSelector(selectors.EpollSelector):
    """Has a timerfd among what it waits for, which is to the point; epoll's own time-out stays, and comes later.

    Raises OSError where the kernel has none to give.
    """

    def __init__(self) -> None:
        super().__init__()
        self._timer = _checked(_libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK))
        self._is_set = False
        self.register(self._timer, selectors.EVENT_READ)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """As every selector does; the timer is no event."""
        if timeout is None or timeout > 0:
            self._set(timeout)
        return [(key, events) for key, events in super().select(timeout) if key.fd != self._timer]

    def _set(self, timeout: float | None) -> None:
        """What it told of before is over with that."""
        if timeout is not None or self._is_set:
            span = _Span(*divmod(math.ceil((timeout or 0) * _SECOND), _SECOND))
            _checked(_libc.timerfd_settime(self._timer, 0, ctypes.byref(_Setting(_Span(), span)), None))
        self._is_set = timeout is not None

    def close(self) -> None:
        """Close the timer, too."""
        if self._timer >= 0:
            os.close(self._timer)
            self._timer = -1
        super().close()


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def loop() -> asyncio.AbstractEventLoop:
    """A new event loop of that kind. Raises OSError."""
    return asyncio.SelectorEventLoop(PunctualSelector())
