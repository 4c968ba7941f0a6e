"""The names of our units, and what a name tells."""

from __future__ import annotations

import re
import zlib

NAME_PATTERN = r"[a-z][a-z0-9-]{0,62}"
#: `projctl-agent.service` and its sockets are ours; a project of that name would replace them.
RESERVED_NAMES = frozenset({"agent", "agent-metrics"})
TARGET = "projctl.target"
SLICE = "projctl.slice"
SHARDS = 64

_UNIT = re.compile(rf"projctl-({NAME_PATTERN})(?:\.[a-z][a-z0-9-]*)?\.(?:socket|service)")


def shard(project: str) -> str:
    """The slice of a project: a stable choice among a fixed number, since one big slice is quadratic in PID 1."""
    return f"projctl-{zlib.crc32(project.encode()) % SHARDS:02d}.slice"


def socket_unit(project: str, socket: str, *, first: bool) -> str:
    """The name of a socket's unit; a project's first socket carries the project's own name."""
    return f"projctl-{project}.socket" if first else f"projctl-{project}.{socket}.socket"


def service_unit(project: str) -> str:
    """The unit that a project's sockets start."""
    return f"projctl-{project}.service"


def backend_unit(project: str) -> str:
    """The server behind the proxy, for projects that have one."""
    return f"projctl-{project}.backend.service"


def project_of(unit: str) -> str | None:
    """The project a unit belongs to; None for what is not a project's."""
    match = _UNIT.fullmatch(unit)
    return match[1] if match and match[1] not in RESERVED_NAMES else None
