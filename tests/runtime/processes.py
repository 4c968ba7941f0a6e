"""Real processes for the runner's tests: the runner itself, on sockets that we hold as a service manager does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).parent
APPS = HERE / "apps"
#: Seconds after which a test holds a process for hung.
PATIENCE = 60.0
#: Passes descriptors as sd_listen_fds(3) says: LISTEN_PID is known only in the process itself.
_ADOPT = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"'


def listener(port: int = 0) -> socket.socket:
    """A listening socket on a free port of the loopback."""
    opened = socket.create_server(("127.0.0.1", port), backlog=2048)
    opened.set_inheritable(True)
    return opened


class Runner:
    """One run of projctl-serve; its standard output and error are collected, line by line."""

    def __init__(
        self,
        *arguments: str,
        sockets: Mapping[str, socket.socket] | None = None,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "projctl_runtime"),
    ) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        command = [sys.executable, *program, *arguments]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LISTEN_", "NOTIFY_", "PORT"))}
        variables = {**inherited, **(environment or {})}
        self.process = _start(command, variables, sockets or {})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, text: str) -> str:
        """The first line that holds the text, once it is there."""
        with self._changed:
            found = lambda: [line for line in self.lines if text in line]  # noqa: E731
            assert self._changed.wait_for(lambda: found() or self.process.poll() is not None, PATIENCE)
            self._changed.wait_for(found, 1)
            assert found(), f"no line with {text!r}: {self.lines}"
            return found()[0]

    def port(self, name: str = "http") -> int:
        """The port that it says it serves the application on."""
        return int(self.wait_for(f"serving {name} on ").rpartition(":")[2])

    def send(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; the exit status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end; the exit status."""
        self.send(number)
        return self.end()


def _start(
    command: list[str], variables: dict[str, str], sockets: Mapping[str, socket.socket]
) -> subprocess.Popen[str]:
    options: dict[str, Any] = {
        "cwd": APPS, "env": variables, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT,
    }  # fmt: skip
    if not sockets:
        return subprocess.Popen(command, **options)
    variables |= {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets)}
    moved = " ".join(f"{3 + i}<&{held.fileno()}" for i, held in enumerate(sockets.values()))
    kept = [held.fileno() for held in sockets.values()]
    shell = ["bash", "-c", f"exec {moved}; {_ADOPT}", "bash", *command]
    return subprocess.Popen(shell, pass_fds=kept, **options)


class Connect(Protocol):
    """Makes a client of one of a runner's applications."""

    def __call__(self, runner: Runner, name: str = "http") -> http.client.HTTPConnection: ...


def ask(
    connection: http.client.HTTPConnection, path: str = "/", method: str = "GET", body: bytes | None = None
) -> tuple[http.client.HTTPResponse, str]:
    """One request: its response and the whole text of that."""
    connection.request(method, path, body)
    response = connection.getresponse()
    return response, response.read().decode("latin-1")


@contextlib.contextmanager
def running(*arguments: str, **options: Any) -> Iterator[Runner]:
    """A run that is killed at the end if it still lives."""
    runner = Runner(*arguments, **options)
    try:
        yield runner
    finally:
        if runner.process.poll() is None:
            runner.process.kill()
        runner.end()
        assert runner.process.stdout
        runner.process.stdout.close()


class Load:
    """Clients in a process of their own; `end` says what they sent and lost."""

    def __init__(self, port: int, one_shot: int, kept_alive: int) -> None:
        words = [sys.executable, str(HERE / "load.py"), "127.0.0.1", *map(str, (port, one_shot, kept_alive))]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self) -> dict[str, dict[str, int]]:
        """Counters `sent` and `lost`, by kind of client."""
        result: dict[str, dict[str, int]] = json.loads(self._process.communicate(timeout=2 * PATIENCE)[0])
        return result
