"""The agent's own service protocol: sd_notify(3) and the descriptors of sd_listen_fds_with_names(3)."""

from __future__ import annotations

import asyncio
import contextlib
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
    """Tell the manager for ever that all is well, as often as it wants to hear it; it hears nothing during a rest."""
    interval = watchdog_interval()
    while interval:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
        if rest and rest.begins():
            notify(f"WATCHDOG_USEC={_NEVER}")
            await rest.over()
            notify(f"WATCHDOG_USEC={2e6 * interval:.0f}")


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
