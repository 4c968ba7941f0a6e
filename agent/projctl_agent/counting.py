"""Byte counters that systemd lost: 257 ends those of open sockets at each reload, until they are asked for anew."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from projctl_agent import usage
from projctl_agent.bus import Bus, BusError

if TYPE_CHECKING:
    from projctl_agent.activity import Target
    from projctl_agent.orders import Orders


class Counting:
    """Asks once for each socket and load of systemd's units: where that does not help, nothing will."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._asked: dict[str, int] = {}

    async def restore(self, bus: Bus, target: Target) -> Target:
        """Bring back the counters of a project that runs; the target to look at from then on. Raises BusError.

        That is of the load that the counters came back in: what moved since it began was not counted.
        """
        if self._orders.direct or not target.tcp.endpoints:
            return target
        lost = [
            unit
            for unit in await usage.lost_counters(bus, target.sockets)
            if self._asked.get(unit) != target.epoch
        ]
        for unit in lost:
            self._asked[unit] = target.epoch
            with contextlib.suppress(BusError):
                await self._orders.count(unit)
        return replace(target, epoch=await bus.loaded()) if lost else target
