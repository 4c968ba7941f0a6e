"""Chores rest while nothing runs: the manager is told not to wait for a sign of life."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from projctl_agent.notify import give_signs_of_life
from projctl_agent.rest import Rest

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NEVER = f"WATCHDOG_USEC={2**64 - 1}"


def test_signs_of_life_end_while_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    busy = True
    rest = Rest(lambda: busy)

    async def heard(count: int) -> list[str]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            return [(await loop.sock_recv(manager, 99)).decode() for _ in range(count)]

    async def work() -> None:
        nonlocal busy
        chore = asyncio.create_task(give_signs_of_life(rest))
        assert await heard(3) == ["WATCHDOG=1"] * 3
        busy = False
        while (said := (await heard(1))[0]) != NEVER:
            assert said == "WATCHDOG=1"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                raise AssertionError(await heard(1))
        rest.disturb()
        assert await heard(3) == ["WATCHDOG_USEC=40000", "WATCHDOG=1", NEVER]
        chore.cancel()

    with manager:
        asyncio.run(work())
