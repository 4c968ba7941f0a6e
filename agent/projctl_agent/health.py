"""Whether the agent can do its work, for those who watch over it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from projctl_agent import __version__
from projctl_agent.orders import HELPER

if TYPE_CHECKING:
    from projctl_agent.journal import Journal

_BEGUN = time.monotonic()
#: Seconds that the loop is asked to wait, to see how much later it comes back.
_WAIT = 0.005
#: __SO_ACCEPTCON of the kernel, in /proc/net/unix.
_ACCEPTS = 0x10000


async def examine(journal: Journal, *, connected: bool, user: bool) -> dict[str, Any]:
    """What is so now; `helper` is None in user mode, where the agent needs none."""
    begun = time.monotonic()
    await asyncio.sleep(_WAIT)
    lag = max(0.0, time.monotonic() - begun - _WAIT)
    return {
        "agent_version": __version__,
        "uptime_seconds": round(begun - _BEGUN, 3),
        "bus": connected,
        "journal": _is_readable(journal),
        "helper": None if user else _is_open(HELPER) and os.access(HELPER, os.W_OK),
        "loop_lag_seconds": round(lag, 6),
    }


def _is_readable(journal: Journal) -> bool:
    try:
        journal.require()
    except OSError:
        return False
    return True


def _is_open(path: str) -> bool:
    """Whether somebody listens there; a connection would start the helper, and the file outlives its socket."""
    try:
        rows = [line.split(maxsplit=7) for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    except OSError:
        return False
    return any(int(row[3], 16) & _ACCEPTS and row[7] == path for row in rows if len(row) == 8)
