"""How long what fails again and again waits, and what is done when systemd does not answer or is quick."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from projctl_agent import bus as bus_
from projctl_agent import healing as healing_
from projctl_agent import messages
from projctl_agent.bus import Bus, UnansweredError
from projctl_agent.healing import Healing, wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl_agent.orders import Orders

SOCKET, SERVICE, PAUSE = "projctl-shop.socket", "projctl-shop.service", "projctl-agent-pause@shop.service"


def test_waits_double_up_to_five_minutes() -> None:
    assert [wait(failures) for failures in range(1, 13)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert wait(10**6) == 300


class Systemd:
    """Knows properties by their names, does not answer that question (0: answers all), and remembers orders.

    `stopping` is called while it stops a unit.
    """

    def __init__(self, *, silent: int = 0, **known: Any) -> None:
        self._silent, self._asked = silent, 0
        self._known = known
        self.started: list[str] = []
        self.stopping: Callable[[], None] = lambda: None

    async def list_units(self, _patterns: list[str], _states: list[str]) -> list[Any]:
        return []

    async def properties(self, *wanted: tuple[str, str, str]) -> list[Any]:
        self._asked += bool(wanted)
        if wanted and self._asked == self._silent:
            raise UnansweredError("cannot get an answer to Get: connection lost")
        return [self._known.get(name) for _, _, name in wanted]

    async def start(self, unit: str) -> None:
        self.started.append(unit)
        self._known |= {"ActiveState": "active"}

    async def stop_unit(self, _unit: str) -> None:
        self.stopping()
        await asyncio.sleep(0)


@pytest.fixture
def healing(monkeypatch: pytest.MonkeyPatch) -> Healing:
    """One that does not wait."""
    for name in ("rearmed", "held_up"):
        monkeypatch.setattr(messages, name, lambda *_: None)
    monkeypatch.setattr(healing_, "wait", lambda _failures: 0.0)
    monkeypatch.setattr(bus_, "_PAUSE", 0.0)
    return Healing(pytest.fail)


def heal(healing: Healing, systemd: Systemd, unit: str, starts: int) -> list[str]:
    """What was started when a unit has failed, and there were so many starts."""

    async def work() -> list[str]:
        await healing.connect(cast("Bus", systemd), cast("Orders", systemd))
        healing.failed(unit)
        async with asyncio.timeout(30):
            while len(systemd.started) < starts:
                await asyncio.sleep(0.01)
        healing.disconnect()
        return systemd.started

    return asyncio.run(work())


@pytest.mark.parametrize("silent", [1, 2])
def test_a_socket_opens_again_although_systemd_once_did_not_answer(healing: Healing, silent: int) -> None:
    systemd = Systemd(silent=silent, ActiveState="failed", Result="trigger-limit-hit")
    assert heal(healing, systemd, SOCKET, 1) == [SOCKET]


def test_what_fails_while_its_pause_is_being_ended_waits_again(healing: Healing) -> None:
    """The answer to that order and the news of the next failure may come at once."""
    systemd = Systemd(NRestarts=3)
    systemd.stopping = partial(healing.failed, SERVICE)
    assert heal(healing, systemd, SERVICE, 2)[:2] == [PAUSE, PAUSE]
