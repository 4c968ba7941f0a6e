"""A thread that does nothing but let frozen servers go on, the moment that something calls for them."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from projctl_agent.helper.duplicates import Duplicates

#: Seconds from the signals to all the rest: clients wait for the server, and both may want the same CPU.
_AFTERWARDS = 0.01
#: The most that is taken from the kernel at a time.
_AT_A_TIME = 64


class Rung(NamedTuple):
    """What is done when one of the duplicates calls: `wake` in the thread at once, `told` in the loop afterwards."""

    duplicates: Duplicates
    wake: Callable[[list[int]], None]
    told: Callable[[list[int]], None]


class Bell:
    """Waits for all that is frozen at once; the thread begins with the first of it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._end, select.EPOLLIN)
        self._hung: dict[int, Rung] = {}
        # Descriptors are closed, and their numbers used anew, only by who has taken them down before.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def hang(self, rung: Rung, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for it, too."""
        number = rung.duplicates.epoll.fileno()
        with self._lock:
            self._hung[number] = rung
            self._epoll.register(number, select.EPOLLIN)
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, args=[loop], name="bell", daemon=True)
            self._thread.start()

    def take_down(self, duplicates: Duplicates) -> None:
        """Wait for it no longer; when this returns, the thread has nothing to do with it."""
        with self._lock:
            self._drop(duplicates.epoll.fileno())

    def close(self) -> None:
        """End the thread."""
        if self._thread:
            os.eventfd_write(self._end, 1)
            self._thread.join()
        self._epoll.close()
        os.close(self._end)

    def _drop(self, number: int) -> None:
        if self._hung.pop(number, None):
            self._epoll.unregister(number)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        called: list[tuple[Rung, list[int]]] = []
        while True:
            calling = [number for number, _ in self._epoll.poll(_AFTERWARDS if called else None, _AT_A_TIME)]
            if self._end in calling:
                return
            calls = [call for number in calling if (call := self._answer(number))]
            for rung, ready in called:
                loop.call_soon_threadsafe(rung.told, ready)
            called = calls

    def _answer(self, number: int) -> tuple[Rung, list[int]] | None:
        with self._lock:
            rung = self._hung.get(number)
            # What calls can be asked only before the server takes it.
            if rung is None or not (ready := rung.duplicates.ready()):
                return None
            rung.wake(ready)
            self._drop(number)
        return rung, ready
