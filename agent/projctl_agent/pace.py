"""When to look again: seldom enough to cost nothing, often enough that no stop is late; pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A stop may be late by 2 seconds, or by idle time / LOOKS where that is more; so often a project may wake the agent.
LATE, LOOKS = 2.0, 20
#: What is left of that for waking up and for the stop itself: where it is 2 seconds there is room for more.
OWN, _ROOM = 0.04, 0.2
#: Each of those that are looked at together takes some.
_EACH = 0.001
#: Whose idle time is that many times as long is looked at so seldom that it leaves another no room to look more often.
SELDOM = 40.0
#: Never look more often than so many seconds, but for what falls due.
MIN_LOOK = 0.5
#: After a start for somebody, who is mostly served by then: most runs see no other use.
FIRST = 1.0


def following(
    idle_stop: float, now: float, due: float, *, free: float, rests: bool, company: int = 1
) -> float:
    """When to look next at the latest, where it is due then and use until `free` postpones nothing; monotonic seconds.

    But for what `rests`, two looks are never farther apart than a stop may be late. So many projects are the `company`.
    """
    apart = step(idle_stop, company)
    # What is due after a look is so at its twentieth step, or a little beside it: some looks take longer than others.
    if due - now <= max(apart, latest(idle_stop, company)) + (OWN if company == 1 else 0.0):
        return max(now, due)
    if rests and free - now >= 1.5 * apart:
        rest = max(idle_stop, MIN_LOOK)
        return free if free - now < 1.5 * rest else now + rest
    return now + apart


def has_company(idle_stop: float | None, idles: Iterable[float | None]) -> bool:
    """Whether another of these leaves that one room: with an idle time SELDOM as long it is looked at too seldom."""
    often = (1 for idle in idles if idle and idle_stop and idle <= SELDOM * idle_stop)
    return sum(islice(often, 2)) > 1


def step(idle_stop: float, company: int = 1) -> float:
    """Seconds between two looks: with short idle times half as many, since what is late by 2 s is not late."""
    return max(MIN_LOOK, min(2 * idle_stop / LOOKS, latest(idle_stop, company)))


def latest(idle_stop: float, company: int = 1) -> float:
    """Seconds between two looks at the most; with very much company a stop may come later than it should.

    Whoever has no company wakes the agent alone: its looks lie no nearer than it may, and take what time it takes.
    """
    late = idle_stop / LOOKS
    if company == 1:
        return max(LATE - _ROOM, late)
    return max(0.5 * max(LATE, late), max(LATE - _ROOM, late - OWN) - _EACH * (company - 1))
