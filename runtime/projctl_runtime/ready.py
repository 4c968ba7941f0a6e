"""Waits until a server answers on its private port; run by its unit as ExecStartPost=. Standard library only."""

from __future__ import annotations

import os
import socket
import sys
import time


def wait(host: str, port: int, seconds: float, main_pid: int) -> str | None:
    """None once a connection to host:port is taken; else why not: `main_pid` ended, or `seconds` are over."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=max(0.1, deadline - time.monotonic())).close()
        except OSError:
            if main_pid and not _alive(main_pid):
                return "the server ended before it answered"
        else:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return f"nothing answered on {host}:{port} within {seconds:g} s: does the server listen on $PORT?"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> int:
    """`ready.py HOST PORT SECONDS`; exit status 1 when the server does not answer."""
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    problem = wait(host, port, seconds, int(os.environ.get("MAINPID", "0")))
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
