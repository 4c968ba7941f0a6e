"""The processes below this one, what they have open and how busy they are, out of /proc; and their end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"
_CONNECTING = "02"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
#: Seconds until processes that SIGKILL was sent to are given up: the kernel holds them.
_KILL_TIMEOUT = 10.0


def descendants() -> dict[int, int]:
    """All processes below this one, each with the CPU time it has used, in clock ticks."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in os.listdir(_PROC):  # noqa: PTH208 - ten times faster, and there are many
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = (_PROC / entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry))
                ticks[int(entry)] = int(fields[11]) + int(fields[12])
    found: dict[int, int] = {}
    pending = [os.getpid()]
    while pending:
        children = parents.get(pending.pop(), [])
        found |= {child: ticks[child] for child in children}
        pending += children
    return found


def open_sockets(pids: list[int]) -> set[int]:
    """The inodes of the sockets that these processes hold."""
    found: set[int] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in (_PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if match := _SOCKET.fullmatch(str(entry.readlink())):
                        found.add(int(match[1]))
    return found


def listening() -> dict[int, tuple[int, int]]:
    """Every TCP socket that listens, by inode: its port and how many connections wait in its queue."""
    found: dict[int, tuple[int, int]] = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    port, queue = fields[1].partition(":")[2], fields[4].partition(":")[2]
                    found[int(fields[9])] = int(port, 16), int(queue, 16)
    return found


def waits_at(path: str) -> bool:
    """Whether a connection to the Unix socket of that path has not been accepted yet."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "net/unix").read_text(errors="surrogateescape").splitlines()[1:]:
            fields = line.split(None, 7)
            if fields[5] == _CONNECTING and fields[7:] == [path]:
                return True
    return False


def end(main: int, stop_signal: int, patience: float) -> None:
    """End all processes below this one: `main` is asked first, for `patience` seconds, then all are killed."""
    if patience and main in descendants():
        os.kill(main, stop_signal)
    if _gone(patience):
        return
    deadline = time.monotonic() + _KILL_TIMEOUT
    while time.monotonic() < deadline:
        for pid in descendants():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if _gone(0.02):
            return


def _gone(seconds: float) -> bool:
    """Whether no child is left, within the time; orphans of children are this process's children."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)
