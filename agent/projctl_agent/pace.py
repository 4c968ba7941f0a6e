"""When to look again: seldom enough to cost nothing, often enough that no stop is late; pure."""

from __future__ import annotations

import math

#: Never look more often than idle time / LOOKS, nor, but for what falls due, than this many seconds.
MIN_LOOK = 0.5
LOOKS = 20
#: With short idle times half as often, or this many seconds apart: what is late by 2 s at the most is not late.
_SHORT = 1.5
#: After a start for somebody, who is mostly served by then: most runs see no other use.
FIRST = 1.0
#: A stop may be late by 2 seconds, or by idle time / LOOKS where that is more; some of them are the agent's own.
LATEST = 1.8
_ROUNDING = 1e-6


def wait(idle_stop: float, left: float, *, free: float, rests: bool) -> float:
    """Seconds until the next look, where it is due in `left` seconds and use in the next `free` postpones nothing.

    Two looks are never nearer than idle time / LOOKS, and, in the last idle time, never farther apart than a
    stop may be late.
    """
    apart = step(idle_stop)
    if left <= apart:
        return max(left, idle_stop / LOOKS)
    if rests and free >= 1.5 * apart:
        rest = max(idle_stop, MIN_LOOK)
        return free if free < 1.5 * rest else rest
    steps = math.floor(left / apart + _ROUNDING)
    if apart > idle_stop / LOOKS * (1 + _ROUNDING):
        return _spread(idle_stop, left, steps)
    first = left if steps == 1 else left - (steps - 1) * apart
    # From there on whole steps lead to the moment when it is due.
    return first if first <= max(LATEST, free, apart * (1 + _ROUNDING)) else apart


def _spread(idle_stop: float, left: float, steps: int) -> float:
    """Where looks may be nearer than they are, all steps that lead to the moment when it is due are as long."""
    if left / steps > LATEST:
        steps += 1
    return max(left / steps, idle_stop / LOOKS)


def step(idle_stop: float) -> float:
    """Seconds between two looks."""
    return max(MIN_LOOK, idle_stop / LOOKS, min(2 * idle_stop / LOOKS, _SHORT))
