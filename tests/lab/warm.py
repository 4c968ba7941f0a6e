"""projctl's command line without its start: a process that has imported it forks for each call.

Each call is a process of its own in the lab's namespaces and in a cgroup of its own, as Lab.run makes them. Whether
`projctl` starts at all, and what signals and terminals do to it, is for tests that start the program itself.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click

from projctl import cli
from projctl.lab import PATH, kernel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.lab import Lab
    from projctl.lab.commands import Entrance

_NAMESPACES = ("cgroup", "ipc", "uts", "net", "pid", "mnt")
_STREAMS = 3


class Call:
    """One call that runs; `end` waits for it."""

    def __init__(self, lab: Lab, words: Sequence[str], env: Mapping[str, str]) -> None:
        self._words = list(words)
        self._entrance = lab.entrance()
        self._entrance.cgroup.mkdir()
        self._files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        self._status, theirs = socket.socketpair()
        with theirs:
            order = _order(self._entrance, self._words, env)
            socket.send_fds(_forks(), [order], [*self._files, theirs.fileno()])

    def end(self, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """What it ended with. Raises subprocess.TimeoutExpired when it does not in time, after its death."""
        self._status.settimeout(timeout)
        try:
            status = int(self._status.recv(16) or b"-1")
        except BaseException as error:
            (self._entrance.cgroup / "cgroup.kill").write_text("1")
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired(self._words, timeout) from None
            raise
        else:
            said = [os.pread(file, 1 << 30, 0).decode("utf-8", "surrogateescape") for file in self._files[1:]]
            return subprocess.CompletedProcess(self._words, status, *said)
        finally:
            self._status.close()
            for file in self._files:
                os.close(file)
            with contextlib.suppress(OSError):  # something that it started still runs
                self._entrance.cgroup.rmdir()


def _order(entrance: Entrance, words: Sequence[str], env: Mapping[str, str]) -> bytes:
    order = {
        "leader": entrance.leader,
        "cgroup": str(entrance.cgroup),
        "words": list(words),
        "env": dict(env),
    }
    return json.dumps(order).encode()


@functools.cache
def _forks() -> socket.socket:
    """The way to the process that forks; it ends when this one does, and with it its copy of the socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            env={"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"},
            cwd="/",
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        ).returncode = 0  # nobody waits for it
    return ours


# --- the process that forks


def main() -> None:
    """Fork for each order until there is nobody to send one."""
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        _import_verbs()
        gc.freeze()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            data, files, _, _ = socket.recv_fds(orders, 1 << 20, _STREAMS + 1)
            if not data:
                return
            if not os.fork():
                break
            for file in files:
                os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _enter(json.loads(data), files)


def _import_verbs() -> None:
    context = click.Context(cli.cli)
    for name in cli.cli.list_commands(context):
        cli.cli.get_command(context, name)


def _enter(order: dict[str, Any], files: list[int]) -> None:
    """In the first fork: into the namespaces, and wait for the second, which is in that of the processes, too."""
    status = files.pop()
    group = os.open(f"{order['cgroup']}/cgroup.procs", os.O_WRONLY)
    namespaces = [os.open(f"/proc/{order['leader']}/ns/{name}", os.O_RDONLY) for name in _NAMESPACES]
    for namespace in namespaces:
        kernel.setns(namespace, 0)
        os.close(namespace)
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(status, str(code if code >= 0 else 128 - code).encode())
        os._exit(0)
    os.close(status)
    os.write(group, b"0")
    os.close(group)
    os.chdir("/")
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order["env"])
    _run(order["words"])


def _run(words: list[str]) -> None:
    if words[0].endswith(".py"):
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
    else:
        cli.main(words)


if __name__ == "__main__":
    main()
