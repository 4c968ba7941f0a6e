"""Hours that the agent begins although systemd did not answer at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from projctl_agent import bus as bus_
from projctl_agent.bus import UnansweredError, UnitRow
from projctl_agent.warmth import Warmth

if TYPE_CHECKING:
    from projctl_agent.bus import Bus
    from projctl_agent.orders import Orders

TIMER, TARGET = "projctl-shop.warm.timer", "projctl-shop.warm.target"
KNOWN = {TIMER: 2_000, "projctl-shop.cool.timer": 1_000, TARGET: "inactive"}


class Systemd:
    """Has the timers of one project in the midst of its hours, and does not answer the first question for them."""

    def __init__(self) -> None:
        self._silent = True
        self.started: list[str] = []

    async def list_units(self, _patterns: list[str], _states: list[str]) -> list[UnitRow]:
        return [UnitRow(TIMER, "", "loaded", "active", "waiting", "", "", 0, "", "")]

    async def properties(self, *wanted: tuple[str, str, str]) -> list[Any]:
        if self._silent:
            self._silent = False
            raise UnansweredError("cannot get an answer to Get: connection lost")
        return [KNOWN.get(unit) for unit, _, _ in wanted]

    async def start(self, unit: str) -> None:
        self.started.append(unit)


def test_hours_begin_although_systemd_did_not_answer_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_, "_PAUSE", 0.0)
    systemd = Systemd()

    async def work() -> None:
        warmth = Warmth(pytest.fail)
        await warmth.connect(cast("Bus", systemd), cast("Orders", systemd))
        async with asyncio.timeout(30):
            while not systemd.started:
                await asyncio.sleep(0.01)

    asyncio.run(work())
    assert systemd.started == [TARGET]
