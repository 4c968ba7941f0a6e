"""The rows of `projctl list`, and how figures are written for people; pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from projctl.table import Column

if TYPE_CHECKING:
    from projctl.status import ProjectStatus, SocketStatus

#: What a narrow terminal drops first has the highest rank.
COLUMNS = (
    Column("NAME", least=16),
    Column("STATE"),
    Column("PID", right=True, rank=5),
    Column("PORTS", rank=1, least=11),
    Column("CPU", right=True, rank=7),
    Column("MEMORY", right=True, rank=2),
    Column("UPTIME", right=True, rank=3),
    Column("IDLE", right=True, rank=4),
    Column("STARTS", right=True, rank=6),
)
STATE = 1


def row(project: ProjectStatus) -> tuple[str, ...]:
    """The cells of one project, `-` for what is not known."""
    ports = ",".join(port(socket) for socket in project.sockets) or "-"
    return (
        project.name,
        project.state,
        known(project.pid),
        f"{ports} (override)" if project.override else ports,
        "-" if project.cpu_seconds is None else f"{project.cpu_seconds:.2f}s",
        size(project.memory_bytes),
        span(project.uptime_seconds),
        span(project.idle_seconds),
        known(project.starts),
    )


def port(socket: SocketStatus) -> str:
    """The port alone where a socket listens on every address, else the whole address."""
    host = socket.address.rpartition(":")[0]
    return str(socket.port) if socket.port is not None and host in ("", "*", "[::]") else socket.address


def known(value: int | None) -> str:
    """The number, or `-` when there is none."""
    return "-" if value is None else str(value)


def size(count: int | None) -> str:
    """Bytes for people: `38.2M`."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "K", "M", "G"):
        if value < 1024:
            return f"{value:.1f}{unit}" if unit != "B" else f"{count}B"
        value /= 1024
    return f"{value:.1f}T"


def span(seconds: float | None) -> str:
    """A time span for people, its two largest units: `2h 5min`."""
    if seconds is None:
        return "-"
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if rest >= length or (unit == "s" and not parts):
            parts.append(f"{rest // length}{unit}")
            rest %= length
    return " ".join(parts[:2])


def moment(seconds: float) -> str:
    """A point in time (seconds since 1970) in the machine's own zone."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def plural(count: int, noun: str) -> str:
    """The number with its noun: `1 project`, `2 projects`."""
    return f"{count} {noun}{'s' * (count != 1)}"
