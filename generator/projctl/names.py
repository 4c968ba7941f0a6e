"""The names of our units, and what a name tells."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_PATTERN = r"[a-z][a-z0-9-]{0,62}"
#: Ours are `projctl-agent.service` and what belongs to it, and in /run/projctl, where each project has a directory of
#: its own user's, what root reads and believes. A project of such a name would replace them.
RESERVED_NAMES = frozenset(
    {"agent", "agent-helper", "agent-metrics", "agent-pause", "down", "generated", "helper"}
)
TARGET = "projctl.target"
SLICE = "projctl.slice"
SHARDS = 64

_UNIT = re.compile(
    rf"projctl-({NAME_PATTERN})(?:\.(?P<part>[a-z][a-z0-9-]*))?(?:@(?P<number>[0-9]+))?\.(?:socket|service|timer|target)"
)


def shard(project: str) -> str:
    """The slice of a project: a stable choice among a fixed number, since one big slice is quadratic in PID 1."""
    return f"projctl-{zlib.crc32(project.encode()) % SHARDS:02d}.slice"


def instances(project: str, count: int) -> list[str]:
    """The names of a project's servers: its own when there is one, else `NAME@0`, `NAME@1`, …"""
    return [project] if count == 1 else [f"{project}@{number}" for number in range(count)]


def socket_unit(instance: str, socket: str, *, first: bool) -> str:
    """The name of a socket's unit; a project's first socket carries the project's own name."""
    return _unit(instance, "" if first else f".{socket}", "socket")


def service_unit(instance: str) -> str:
    """The unit that the sockets of a server start."""
    return _unit(instance, "", "service")


def warm_unit(instance: str, part: str, kind: str) -> str:
    """A unit of the hours in which a server is kept warm: they, the others, and the timers that begin both."""
    return _unit(instance, f".{part}", kind)


def serves(unit: str) -> bool:
    """Whether it is a socket or a service, and no timer that only says when."""
    return unit.endswith((".socket", ".service"))


def pause_units(instance: str) -> list[str]:
    """The units by which the agent holds up the starts of a server that fails again and again."""
    units = (service_unit(instance), backend_unit(instance))
    return [f"projctl-agent-pause@{unit.removeprefix('projctl-')}" for unit in units]


def backend_unit(instance: str) -> str:
    """The server behind the proxy, for projects that have one."""
    return _unit(instance, ".backend", "service")


def _unit(instance: str, part: str, kind: str) -> str:
    project, at, number = instance.partition("@")
    return f"projctl-{project}{part}{at}{number}.{kind}"


def opener_unit(project: str) -> str:
    """The unit by which the systemd generator opens a project's sockets once; upheld, they could not be closed."""
    return f"projctl.{project}.target"


def project_of(unit: str) -> str | None:
    """The project a unit belongs to; None for what is not a project's."""
    match = _UNIT.fullmatch(unit)
    return match[1] if match and match[1] not in RESERVED_NAMES else None


def instance_of(unit: str) -> str | None:
    """The server that a unit belongs to, `NAME` or `NAME@N`; None for what is not a project's."""
    match = _UNIT.fullmatch(unit)
    if not match or match[1] in RESERVED_NAMES:
        return None
    return match[1] if match["number"] is None else f"{match[1]}@{match['number']}"


def socket_of(unit: str) -> str:
    """The name of the socket that a socket's unit tells; a project's only socket is called `http`."""
    match = _UNIT.fullmatch(unit)
    return match["part"] or "http" if match else "http"


def closing_order(units: Iterable[str]) -> list[str]:
    """The units as they must be stopped: a server's leading socket takes all of it along in one transaction.

    Any other way a connection to a socket that is still open starts the service, which opens the rest again. So
    does a timer, which is therefore stopped before anything else.
    """
    order = {".timer": 0, ".socket": 1}
    return sorted(units, key=lambda unit: (order.get(unit[unit.rindex(".") :], 2), unit.count("."), unit))


def waves(units: Iterable[str]) -> list[list[str]]:
    """The units in groups that may restart together: of each project one instance at a time."""
    found: dict[int, list[str]] = {}
    for unit in units:
        number = (instance_of(unit) or "").partition("@")[2]
        found.setdefault(int(number or 0), []).append(unit)
    return [found[number] for number in sorted(found)]
