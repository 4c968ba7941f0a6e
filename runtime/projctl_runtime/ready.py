"""Waits until a server answers; run by its unit as ExecStartPost=. Standard library only, alone in its file."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

#: Seconds that one try may take, and between two tries: from short, for quick servers, to long.
_TRY, _SHORTEST, _LONGEST = 5.0, 0.002, 0.05
USAGE = "usage: ready.py SECONDS tcp|http ADDRESS [PATH] | SECONDS command WORD..."


def _connect(address: str, seconds: float) -> socket.socket:
    """A connection to `HOST:PORT` or to a Unix socket's path."""
    if address.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        connection.connect(address)
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)


def try_tcp(address: str, seconds: float) -> str | None:
    """None when a connection is taken, else why not."""
    try:
        _connect(address, seconds).close()
    except OSError as error:
        return f"nothing answers on {address}: {error.strerror or error}"
    return None


def try_http(address: str, path: str, seconds: float) -> str | None:
    """None when a GET request is answered with a status from 200 to 399, else why not."""
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: projctl-ready\r\n\r\n"
    try:
        with _connect(address, seconds) as connection:
            connection.sendall(request.encode())
            status = connection.makefile("rb").readline(1024).split()[1:2]
    except OSError as error:
        return f"nothing answers on {address}: {error.strerror or error}"
    if status and status[0].isdigit() and 200 <= int(status[0]) < 400:
        return None
    return f"{path} on {address} answers {status[0].decode(errors='replace') if status else 'nothing'}"


def try_command(words: list[str], seconds: float) -> str | None:
    """None when the command exits with 0, else why not."""
    try:
        status = subprocess.run(words, timeout=seconds, check=False, stdin=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return f"{words[0]} does not end"
    except OSError as error:
        return f"{words[0]} cannot be run: {error.strerror}"
    return None if status == 0 else f"{words[0]} ends with status {status}"


def attempt(words: list[str], seconds: float) -> str | None:
    """One try of what the command line asks for."""
    if words[0] == "tcp":
        return try_tcp(words[1], seconds)
    if words[0] == "http":
        return try_http(words[1], words[2], seconds)
    return try_command(words[1:], seconds)


def wait(words: list[str], seconds: float, main_pid: int) -> str | None:
    """None once a try succeeds; else why not: `main_pid` ended, or the last reason after `seconds`."""
    deadline = time.monotonic() + seconds - _age(main_pid)
    pause = _SHORTEST
    while True:
        left = deadline - time.monotonic()
        problem = attempt(words, max(0.1, min(_TRY, left)))
        if problem is None:
            return None
        if main_pid and not Path(f"/proc/{main_pid}").exists():
            return f"the server ended before it was ready; {problem}"
        if left <= 0:
            return f"not ready within {seconds:g} s: {problem}"
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)


def _age(pid: int) -> float:
    """Seconds since the process began: what the start has taken already (proc_pid_stat(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def tell(problem: str) -> None:
    """Say it in the journal, and to systemd as the unit's status."""
    print(problem, file=sys.stderr)  # noqa: T201
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(path.replace("@", "\0", 1) if path.startswith("@") else path)
            channel.send(f"STATUS={problem}".encode())


def main() -> int:
    """Exit status 0 when ready, 1 when not, 2 for wrong usage."""
    if len(sys.argv) < 4 or sys.argv[2] not in ("tcp", "http", "command"):
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    problem = wait(sys.argv[2:], float(sys.argv[1]), int(os.environ.get("MAINPID", "0")))
    if problem:
        tell(problem)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
