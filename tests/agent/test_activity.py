"""One look: in which order it reads what changes all the while."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idle_looks import SHORT

from projctl_agent import activity, idle
from projctl_agent.activity import Target
from projctl_agent.idle import Track
from projctl_agent.sockdiag import Endpoint, Listeners, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl_agent.bus import Bus
    from projctl_agent.idle import Observation
    from projctl_agent.tables import Table

TARGET = Target(("projctl-web.socket",), Listeners((Endpoint(5001),)), (), "/none")
PROBE, REQUEST = 1, 6


@dataclass
class Machine:
    """Both the bus and the kernel's table: before each reading so many packets come in as `coming` says.

    Single ones are probes on the silent connections, several a request on one that is gone at once.
    """

    coming: Iterator[int]
    connections: set[int] = field(default_factory=lambda: {7})
    packets: int = 0
    probes: int = 0
    read: list[str] = field(default_factory=list)

    def _pass(self, read: str) -> None:
        self.read.append(read)
        came = next(self.coming, 0)
        self.packets += came
        self.probes += came if came == PROBE else 0

    async def properties(self, *wanted: tuple[str, str, str]) -> list[Any]:
        self._pass("counters")
        return [52 * self.packets if name == "IPIngressBytes" else self.packets for _, _, name in wanted]

    async def traffic(self, _: Listeners) -> Traffic:
        self._pass("table")
        age = 3_600_000 if self.connections else None
        return Traffic(set(self.connections), age, age, self.probes if self.connections else 0)

    def looks(self, count: int, *, last: bool = False) -> list[Observation]:
        """So many looks, each with the one before; `last` is said of the last of them."""

        async def act() -> list[Observation]:
            found: list[Observation] = []
            for number in range(count):
                before, is_last = found[-1] if found else None, last and number == count - 1
                bus, table = cast("Bus", self), cast("Table", self)
                found.append(await activity.observe(bus, table, TARGET, before, last=is_last))
            return found

        return asyncio.run(act())


def uses(looks: list[Observation]) -> list[str | None]:
    """What each look but the first tells of, compared with the one before."""
    pairs = itertools.pairwise(looks)
    found = [idle.use(SHORT, Track(0.0, 0.0, "start", before), now) for before, now in pairs]
    return [use and use.reason for use in found]


@given(st.lists(st.sampled_from([0, PROBE]), max_size=20), st.booleans())
def test_probes_between_any_two_readings_are_no_use(coming: list[int], last: bool) -> None:
    assert set(uses(Machine(iter(coming)).looks(5, last=last))) == {"connections"}


@given(st.lists(st.sampled_from([0, PROBE]), min_size=3, max_size=9), st.booleans())
def test_a_request_between_any_two_readings_is_found(coming: list[int], held: bool) -> None:
    """At that look or the next, also beside connections that are silent."""
    machine = Machine(iter([*coming, REQUEST]))
    if not held:
        machine.connections.clear()
    assert "bytes" in uses(machine.looks(12))


@pytest.mark.parametrize("connections", [{7}, set()])
def test_the_last_look_reads_its_counters_before_its_table(connections: set[int]) -> None:
    """Nothing lies between what it tells of connections and the stop."""
    machine = Machine(iter(()), connections)
    machine.looks(2, last=True)
    assert machine.read[-2:] == ["counters", "table"]
