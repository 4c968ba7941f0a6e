"""When the agent has sockets count again: how often it asks, and what a look after that may trust."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from projctl_agent.activity import Target
from projctl_agent.bus import BusError
from projctl_agent.counting import Counting
from projctl_agent.sockdiag import Listeners, parse_endpoint

if TYPE_CHECKING:
    from projctl_agent.bus import Bus
    from projctl_agent.orders import Orders

WEB, ADMIN, MUTE = "projctl-a.socket", "projctl-a.admin.socket", "projctl-a.mute.socket"
NO_DATA = 2**64 - 1
TARGET = Target((WEB, ADMIN, MUTE), Listeners((parse_endpoint("0.0.0.0:5001"),)), (), "/a", epoch=1)


class Machine:
    """Units of which MUTE is not to count; `helps` is whether orders bring counters back, `load` is the present one."""

    def __init__(self, *, helps: bool = True, direct: bool = False) -> None:
        self.lost = {WEB, MUTE}
        self.load = 1
        self.orders: list[str] = []
        self.direct = direct
        self._helps = helps

    async def properties(self, *wanted: tuple[str, str, str]) -> list[Any]:
        return [
            unit != MUTE if name == "IPAccounting" else NO_DATA if unit in self.lost else 7
            for unit, _, name in wanted
        ]

    async def loaded(self) -> int:
        return self.load

    async def count(self, unit: str) -> None:
        self.orders.append(unit)
        if not self._helps:
            raise BusError("refused")
        self.lost.discard(unit)


def restored(machine: Machine, *targets: Target) -> list[Target]:
    """The targets after each was looked after, one after the other."""

    async def act() -> list[Target]:
        counting = Counting(cast("Orders", machine))
        return [await counting.restore(cast("Bus", machine), target) for target in targets]

    return asyncio.run(act())


def test_only_what_is_to_count_and_does_not_is_asked_for() -> None:
    machine = Machine()
    assert restored(machine, TARGET, TARGET) == [TARGET, TARGET]
    assert machine.orders == [WEB]


def test_what_does_not_help_is_tried_once_in_a_load() -> None:
    machine = Machine(helps=False)
    later = Target(**{name: getattr(TARGET, name) for name in Target.__slots__} | {"epoch": 2})
    restored(machine, TARGET, TARGET, later, later)
    assert machine.orders == [WEB, WEB]


def test_counters_that_came_back_are_those_of_the_load_they_came_back_in() -> None:
    machine = Machine()
    machine.load = 5  # another reload, of which no signal came yet
    assert restored(machine, TARGET)[0].epoch == 5


def test_where_there_are_no_counters_nobody_asks() -> None:
    users, unix = Machine(direct=True), Machine()
    assert restored(users, TARGET) == [TARGET]
    assert restored(unix, unlisted := Target((WEB,), Listeners(()), ("/run/a.sock",), "/a", epoch=1)) == [
        unlisted
    ]
    assert users.orders == unix.orders == []
