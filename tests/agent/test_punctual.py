"""The agent's event loop: what its timer does to what it waits for."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from pathlib import Path

from projctl_agent import punctual
from projctl_agent.punctual import PunctualSelector


def test_a_timer_is_no_event_and_never_early() -> None:
    with PunctualSelector() as selector:
        for seconds in (1e-10, 0.001, 0.05):
            begun = time.monotonic()
            assert selector.select(seconds) == []
            assert time.monotonic() - begun >= seconds


def test_what_it_told_of_is_over_with_the_next_wait() -> None:
    """Else the loop would never sleep again."""
    here, there = socket.socketpair()
    with here, there, PunctualSelector() as selector:
        key = selector.register(here, selectors.EVENT_READ)
        assert selector.select(0.001) == []
        begun = time.monotonic()
        assert selector.select(0.05) == []
        assert time.monotonic() - begun >= 0.05
        there.send(b"x")
        assert selector.select() == [(key, selectors.EVENT_READ)]
        assert selector.select(0) == [(key, selectors.EVENT_READ)]
        here.recv(1)
        assert selector.select(0) == []


def test_nothing_wakes_it_that_was_waited_for_before() -> None:
    here, there = socket.socketpair()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(0.01):
            pass
        here.setblocking(False)
        loop.call_later(0.05, there.send, b"x")
        assert await loop.sock_recv(here, 1) == b"x"

    with here, there, asyncio.Runner(loop_factory=punctual.loop) as runner:
        runner.run(work())


def test_nothing_stays_open() -> None:
    def timers() -> int:
        open_now = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return open_now.count(Path("anon_inode:[timerfd]"))

    before = timers()
    punctual.loop().close()
    selector = PunctualSelector()
    assert timers() == before + 1
    selector.close()
    selector.close()
    assert timers() == before
