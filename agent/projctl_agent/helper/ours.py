"""Whether a unit is projctl's: its file says so, and systemd runs it where projctl's units run."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent import cgroup
from projctl_agent.bus import SERVICE, SLICE, SOCKET, UNIT
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from projctl_agent.bus import Bus

#: How the first line of every file that projctl renders begins.
MARKER = b"# Rendered by projctl "
_TOP = "projctl.slice"
_NO_WATCHDOG = (0, 2**64 - 1)


class Server(NamedTuple):
    """A service that runs, and where its control group is."""

    unit: str
    place: Path


async def check(bus: Bus, unit: str) -> None:
    """Raise RefusedError where systemd takes this unit from no file of projctl's."""
    (path,) = await bus.properties((unit, UNIT, "FragmentPath"))
    if not path or not _is_marked(path):
        raise RefusedError(f"{unit} has no unit file of projctl")


async def check_counting(bus: Bus, socket: str) -> None:
    """Raise RefusedError where a socket's unit does not ask for byte counters."""
    if (await bus.properties((socket, SOCKET, "IPAccounting")))[0] is not True:
        raise RefusedError(f"{socket} has no IPAccounting=yes")


def _is_marked(path: str) -> bool:
    """Whether this is a plain file of root's, or our own, that bears the marker."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        trusted = stat.S_ISREG(found.st_mode) and found.st_uid in {0, os.geteuid()}
        return trusted and file.read(len(MARKER)) == MARKER


async def servers(bus: Bus, service: str, backend: str) -> list[Server]:
    """A service of projctl's, and the backend behind it where there is one. Raises RefusedError or BusError."""
    front = await _server(bus, service)
    (state,) = await bus.properties((backend, UNIT, "ActiveState"))
    return [front] if state in {None, "inactive"} else [front, await _server(bus, backend)]


async def _server(bus: Bus, unit: str) -> Server:
    await check(bus, unit)
    state, watchdog, group, top = await bus.properties(
        (unit, UNIT, "ActiveState"),
        (unit, SERVICE, "WatchdogUSec"),
        (unit, SERVICE, "ControlGroup"),
        (_TOP, SLICE, "ControlGroup"),
    )
    if state != "active":
        raise RefusedError(f"{unit} does not run")
    if watchdog not in _NO_WATCHDOG:
        raise RefusedError(f"{unit} has WatchdogSec=, and systemd would end it for its silence")
    return Server(unit, place(unit, group or "", top or ""))


def place(unit: str, group: str, top: str) -> Path:
    """Where the control group of a unit is. Raises RefusedError unless it lies below projctl.slice, `top`."""
    below = group.removeprefix(f"{top}/")
    directory = cgroup.directory(group)
    nested = re.fullmatch(rf"(?:projctl-[a-z0-9-]+\.slice/)*{re.escape(unit)}", below, re.ASCII)
    if (
        not top.endswith(f"/{_TOP}")
        or below == group
        or not nested
        or os.path.realpath(directory) != str(directory)
    ):
        raise RefusedError(f"the control group of {unit} does not lie below {_TOP}")
    if not directory.is_dir():
        raise RefusedError("it takes control groups of version 2, which this machine does not have")
    return directory
