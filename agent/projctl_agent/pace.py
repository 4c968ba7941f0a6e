"""When to look again: seldom enough to cost nothing, often enough that no stop is late; pure."""

from __future__ import annotations

#: A stop may be late by 2 seconds, or by idle time / LOOKS where that is more. Some of it is for waking up, for which
#: Linux takes up to 0.5 % of a sleep or 0.1 s with processes as nice as the agent, and for the stop itself.
LATE, LOOKS = 2.0, 20
OWN, _SLACK, _MOST_SLACK = 0.04, 0.005, 0.1
#: Where it is 2 seconds there is room for more, and each of those that are looked at together takes some.
_ROOM, _EACH = 0.2, 0.001
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
    if due - now <= max(apart, latest(idle_stop, company)):
        return max(now, due)
    if rests and free - now >= 1.5 * apart:
        rest = max(idle_stop, MIN_LOOK)
        return free if free - now < 1.5 * rest else now + rest
    return now + apart


def step(idle_stop: float, company: int = 1) -> float:
    """Seconds between two looks: with short idle times half as many, since what is late by 2 s is not late."""
    return max(MIN_LOOK, min(2 * idle_stop / LOOKS, latest(idle_stop, company)))


def latest(idle_stop: float, company: int = 1) -> float:
    """Seconds between two looks at the most; with very much company a stop may come later than it should."""
    late = idle_stop / LOOKS
    room = max(LATE - _ROOM, late - OWN - min(_SLACK * late, _MOST_SLACK))
    return max(0.5 * max(LATE, late), room - _EACH * (company - 1))
