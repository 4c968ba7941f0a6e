"""The sockets that a service manager passed: sd_listen_fds_with_names(3)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from projctl_runtime.failure import RunnerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FIRST_FD = 3


def take() -> dict[str, list[socket.socket]]:
    """The passed sockets by FileDescriptorName=, none without a manager; children do not inherit them.

    Raises RunnerError when they were passed to another process: serving own ports instead would leave clients
    hanging on the passed ones for ever.
    """
    count, owner = os.environ.pop("LISTEN_FDS", "0"), os.environ.pop("LISTEN_PID", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdecimal() or int(count) == 0:
        return {}
    if owner != str(os.getpid()):
        raise RunnerError(
            f"cannot take the sockets: they were passed to process {owner or '(none)'}, and this is {os.getpid()};"
            " start projctl-serve without a wrapper, or with exec"
        )
    taken: dict[str, list[socket.socket]] = {}
    for offset in range(int(count)):
        name = names[offset] if offset < len(names) else ""
        taken.setdefault(name, []).append(_adopt(_FIRST_FD + offset, name))
    return taken


def _adopt(fd: int, name: str) -> socket.socket:
    try:
        adopted = socket.socket(fileno=fd)
        listens = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if not listens:
        raise RunnerError(f'cannot serve "{name}": descriptor {fd} must be a listening stream socket')
    adopted.setblocking(False)
    adopted.set_inheritable(False)
    return adopted


def match(
    names: Sequence[str], taken: Mapping[str, Sequence[socket.socket]], *, alone: bool
) -> dict[str, Sequence[socket.socket]]:
    """The sockets of each application. `alone`: its only application was not named and takes the only socket.

    Raises RunnerError when an application has no socket or a socket no application.
    """
    if alone and len(taken) == 1:
        return {names[0]: next(iter(taken.values()))}
    listed = ", ".join(sorted(taken))
    if alone:
        raise RunnerError(f"must name an application for each of the sockets {listed}, as in NAME=MODULE:APP")
    for name in names:
        if name not in taken:
            raise RunnerError(f'unknown socket "{name}", must be one of: {listed}')
    if missing := sorted(set(taken) - set(names)):
        raise RunnerError(
            f'must name an application for the socket "{missing[0]}", as in {missing[0]}=MODULE:APP'
        )
    return {name: taken[name] for name in names}
