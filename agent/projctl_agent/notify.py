"""The agent's own service protocol: sd_notify(3) and the descriptors of sd_listen_fds_with_names(3)."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projctl_agent.rest import Rest

_FIRST_DESCRIPTOR = 3
#: As many microseconds as there are in no time (USEC_INFINITY).
_NEVER = 2**64 - 1


def notify(state: str) -> None:
    """Tell the service manager, where there is one; a manager that is gone is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        channel.send(state.encode())


def watchdog_interval() -> float | None:
    """Seconds between two signs of life: half of what the manager waits; None where it does not wait."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(microseconds) / 2e6 if microseconds.isdecimal() and pid == str(os.getpid()) else None


async def give_signs_of_life(rest: Rest | None = None) -> None:
    """Tell the manager for ever that all is well, as often as it wants to hear it.

    With a `rest` that is when the agent is awake anyway: the manager is told how long it may hear nothing.
    """
    interval = watchdog_interval()
    patience = 2 * interval if interval else 0.0
    while interval:
        wanted = 2 * interval if rest is None else _patience(interval, rest.left())
        told = "" if wanted == patience else f"WATCHDOG_USEC={_microseconds(wanted)}\n"
        patience = wanted
        notify(f"{told}WATCHDOG=1")
        # A manager that waits for ever is told soon that something runs.
        latest = interval if patience == math.inf else patience - interval
        await (rest.turn(interval, latest) if rest else asyncio.sleep(interval))


def _patience(interval: float, left: float) -> float:
    """Seconds to wait for a sign of life of one that is awake in `left` and then as seldom; a few sizes are enough."""
    return 2 * interval * math.ceil(1 + left / (2 * interval)) if left < math.inf else math.inf


def _microseconds(seconds: float) -> int:
    return _NEVER if seconds == math.inf else round(1e6 * seconds)


def listening_sockets() -> dict[str, socket.socket]:
    """The sockets that systemd passed, by FileDescriptorName=; a name's first one counts."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    passed: dict[str, socket.socket] = {}
    for offset in range(int(os.environ.get("LISTEN_FDS", "0"))):
        passed_socket = socket.socket(fileno=_FIRST_DESCRIPTOR + offset)
        passed_socket.setblocking(False)
        passed_socket.set_inheritable(False)
        passed.setdefault(names[offset] if offset < len(names) else "", passed_socket)
    return passed
