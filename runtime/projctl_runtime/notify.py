"""What a server tells its service manager: sd_notify(3) and sd_watchdog_enabled(3)."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(*lines: str) -> None:
    """Send assignments such as `READY=1` where a manager listens; a manager that is gone is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    with contextlib.suppress(OSError), channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.send("\n".join(lines).encode())


def watchdog_interval() -> float | None:
    """Seconds between two signs of life: half of what the manager waits; None where it does not wait."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID") or str(os.getpid())
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid != str(os.getpid()):
        return None
    return int(microseconds) / 2e6
