"""The server's own process: becomes its user in its directory, gets its sockets, and is replaced by the server."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from projctl.adapters.adapter import FIRST_FD
from projctl.lab import kernel
from projctl.preflight.launch import expand

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

#: Descriptors from here on are never a socket's.
_OUT_OF_THE_WAY = 100


def start(order: dict[str, Any], listeners: Sequence[socket.socket], notify: str | None, output: int) -> int:
    """Start the server with the sockets from descriptor 3 on; returns its pid, raises OSError when it cannot."""
    heard, low = os.pipe()
    told = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
    os.close(low)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _become(order, listeners, notify, output, parent)
        except OSError as error:
            os.write(told, (error.strerror or str(error)).encode())
        finally:
            os._exit(127)
    os.close(told)
    with os.fdopen(heard) as stream:
        if reason := stream.read():
            os.waitpid(pid, 0)
            raise OSError(0, reason)
    return pid


def _become(
    order: dict[str, Any],
    listeners: Sequence[socket.socket],
    notify: str | None,
    output: int,
    parent: int,
) -> NoReturn:
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if order["covers"]:
        _cover(order["covers"], order["binds"])
    _take_descriptors(listeners, output)
    if order["uid"] is not None:
        os.setgroups(order["groups"])
        os.setgid(order["gid"])
        os.setuid(order["uid"])
    # After the change of user, which would undo it.
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)
    os.umask(0o022)
    os.chdir(order["directory"])
    environment = dict(order["environment"])
    if listeners:
        environment |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(listeners))}
        environment["LISTEN_FDNAMES"] = ":".join(stand["name"] for stand in order["sockets"])
    if notify:
        environment["NOTIFY_SOCKET"] = notify
    words = expand(order["words"], environment)
    os.execve(words[0], words, environment)  # noqa: S606 - there is none on purpose


def _take_descriptors(listeners: Sequence[socket.socket], output: int) -> None:
    """Standard input from nowhere, output to `output`, the sockets from descriptor 3 on; the rest closes at exec."""
    high = [fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for listener in listeners]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for place, descriptor in enumerate(high, FIRST_FD):
        os.dup2(descriptor, place)


def _cover(covers: Sequence[str], binds: Sequence[str]) -> None:
    """Empty the directories that the sandbox empties, and show in them what it shows; for this process only."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
    held = [(path, os.open(path, os.O_PATH)) for path in binds]
    for directory in filter(os.path.isdir, covers):
        mode = "1777" if directory.endswith("tmp") else "0755"
        kernel.mount("tmpfs", Path(directory), "tmpfs", options=f"mode={mode}")
    for path, descriptor in held:
        _make_place(path, is_directory=Path(f"/proc/self/fd/{descriptor}").is_dir())
        kernel.mount(f"/proc/self/fd/{descriptor}", Path(path), flags=kernel.MS_BIND | kernel.MS_REC)
        os.close(descriptor)


def _make_place(path: str, *, is_directory: bool) -> None:
    os.makedirs(path if is_directory else os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    if not is_directory and not os.path.exists(path):  # noqa: PTH110
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def make_own(directory: str, order: dict[str, Any]) -> str:
    """Make a directory that belongs to the order's user; returns it."""
    os.makedirs(directory, 0o700)  # noqa: PTH103
    if order["uid"] is not None:
        os.chown(directory, order["uid"], order["gid"])
    return directory
