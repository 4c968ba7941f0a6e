"""A chore has its turn when the agent is awake anyway, and the manager knows how long it may hear nothing."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from typing import TYPE_CHECKING

import pytest

from projctl_agent.notify import give_signs_of_life
from projctl_agent.rest import Rest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEVER = f"WATCHDOG_USEC={2**64 - 1}\nWATCHDOG=1"


class Manager:
    """Listens to a service's messages as systemd does."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    async def heard(self, count: int) -> list[str]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            return [(await loop.sock_recv(self._listener, 99)).decode() for _ in range(count)]

    async def hears_nothing(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                raise AssertionError(await asyncio.get_running_loop().sock_recv(self._listener, 99))


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Of this process, which it wants to hear every 40 ms."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "40000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield Manager(listener)


def test_signs_of_life_end_while_nothing_runs(manager: Manager) -> None:
    busy = True
    rest = Rest(lambda: busy, time.monotonic)

    async def awake() -> None:
        while True:
            rest.disturb()
            await asyncio.sleep(0.005)

    async def work() -> None:
        nonlocal busy
        chore, looks = asyncio.create_task(give_signs_of_life(rest)), asyncio.create_task(awake())
        assert await manager.heard(3) == ["WATCHDOG=1"] * 3
        busy = False
        looks.cancel()
        while (said := (await manager.heard(1))[0]) != NEVER:
            assert said == "WATCHDOG=1"
        await manager.hears_nothing()
        rest.disturb()
        # Whatever that was, it may have been the last.
        assert await manager.heard(1) == ["WATCHDOG=1"]
        await manager.hears_nothing()
        busy = True
        rest.disturb()
        assert await manager.heard(1) == ["WATCHDOG_USEC=40000\nWATCHDOG=1"]
        chore.cancel()

    asyncio.run(work())


def test_a_manager_that_waits_for_ever_soon_waits_no_more(manager: Manager) -> None:
    """Also where the first thing runs right after it was told so, and is not looked at for long."""
    busy = False

    async def work() -> None:
        nonlocal busy
        rest = Rest(lambda: busy)
        chore = asyncio.create_task(give_signs_of_life(rest))
        assert await manager.heard(1) == [NEVER]
        busy = True
        rest.disturb()
        assert (await manager.heard(1))[0].startswith("WATCHDOG_USEC=3600")
        chore.cancel()

    asyncio.run(work())


def test_the_manager_is_told_how_long_nobody_wakes_up(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should nobody then, since what was to be looked at has gone, the sign comes in time all the same."""
    planned = math.inf
    # As long that a busy machine is no hindrance.
    monkeypatch.setenv("WATCHDOG_USEC", "800000")

    async def work() -> None:
        nonlocal planned
        planned = time.monotonic() + 2.5
        chore = asyncio.create_task(give_signs_of_life(Rest(lambda: True, lambda: planned)))
        begun = time.monotonic()
        told, _, said = (await manager.heard(1))[0].partition("\n")
        assert said == "WATCHDOG=1"
        patience = int(told.removeprefix("WATCHDOG_USEC=")) / 1e6
        assert 2.5 < patience < 4.2
        planned = math.inf
        assert (await manager.heard(1))[0].endswith("WATCHDOG=1")
        assert 1.0 < time.monotonic() - begun < patience
        chore.cancel()

    asyncio.run(work())


def turns(seconds: float, disturbances: int, *, busy: bool = True) -> int:
    """How many turns a chore has that wants one every 50 ms, while so often something happens."""

    async def work() -> int:
        rest, count = Rest(lambda: busy, lambda: time.monotonic() + 0.01), 0

        async def chore() -> None:
            nonlocal count
            while True:
                await rest.turn(0.05)
                count += 1

        task, begun = asyncio.create_task(chore()), time.monotonic()
        for _ in range(disturbances):
            await asyncio.sleep(seconds / disturbances)
            rest.disturb()
        if not disturbances:
            await asyncio.sleep(seconds)
        await asyncio.sleep(0.01)
        task.cancel()
        assert count <= (time.monotonic() - begun) / 0.05
        return count

    return asyncio.run(work())


def test_a_turn_comes_when_somebody_is_awake_and_not_before_it_is_wanted() -> None:
    assert turns(0.5, 0) == 0
    assert turns(0.5, 2) == 2
    assert turns(0.5, 100) >= 2


def test_one_more_turn_follows_the_last_that_happened() -> None:
    async def work() -> float:
        rest, begun = Rest(lambda: False), time.monotonic()
        turn = asyncio.create_task(rest.turn(0.2))
        await asyncio.sleep(0.05)
        rest.disturb()
        await turn
        return time.monotonic() - begun

    assert asyncio.run(work()) >= 0.2
    assert turns(0.3, 0, busy=False) == 0
