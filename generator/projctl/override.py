"""Other ports for a while: drop-ins below /run that leave manifest, registry and installed units alone; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from projctl import unitfile
from projctl.diagnostics import ProjctlError
from projctl.installed import DROP_IN
from projctl.listen import parse_listen
from projctl.names import instance_of, project_of, service_unit, socket_of
from projctl.plan import is_enabled
from projctl.server import port_variables
from projctl.values import parse_range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.listen import Listen

_FORM = 'write "--port 3001", "--port 4000-4003" for several instances, or "--port admin=3001"'


@dataclass(frozen=True)
class Move:
    """One server that moves: its socket units, those of them open while it sleeps, the new ports, the drop-ins."""

    server: str
    sockets: tuple[str, ...]
    opens: tuple[str, ...]
    ports: tuple[tuple[str | None, int], ...] = ()
    drop_ins: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> tuple[str | None, int, int]:
    """The socket (None: the first), first and last port of `[SOCKET=]PORT[-PORT]`."""
    match = re.fullmatch(r"(?:([a-z][a-z0-9-]*)=)?([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if not match:
        raise ProjctlError(f'cannot read the port "{text}"', hint=_FORM)
    try:
        first, last = parse_range(f"{match[2]}-{match[3] or match[2]}")
    except ValueError as error:
        raise ProjctlError(f'port "{text}" {error}', hint=_FORM) from None
    return match[1], first, last


def moves(
    files: Mapping[str, str], project: str, wanted: Sequence[tuple[str | None, int, int]]
) -> list[Move]:
    """What to do to each server of the project, in the order of their numbers."""
    servers = sorted(
        {s for unit in files if project_of(unit) == project and (s := instance_of(unit))}, key=_number
    )
    for socket, first, last in wanted:
        size = last - first + 1
        if size < len(servers) and size > 1:
            many = f"{len(servers)} instances"
            raise ProjctlError(
                f"range {first}-{last} has {size} ports, but there are {many} of {project}", hint=_FORM
            )
        names = {_socket_name(unit, text) for unit, text in files.items() if _is_socket(unit, project)}
        if socket is not None and socket not in names:
            raise ProjctlError(f'cannot find the socket "{socket}": {project} has {", ".join(sorted(names))}')
    return [_move(files, server, wanted) for server in servers]


def endings(files: Mapping[str, str], project: str) -> list[Move]:
    """The moves back: as `moves`, with nothing in place of the drop-ins."""
    servers = sorted(
        {s for unit in files if project_of(unit) == project and (s := instance_of(unit))}, key=_number
    )
    return [_still(files, server) for server in servers]


def paths(move: Move) -> list[str]:
    """Every drop-in that an override of this server can have, below the runtime unit directory."""
    return [f"{unit}.d/{DROP_IN}" for unit in (*move.sockets, service_unit(move.server))]


def _move(files: Mapping[str, str], server: str, wanted: Sequence[tuple[str | None, int, int]]) -> Move:
    sockets, number = _sockets_of(files, server), _number(server)
    ports: dict[str, tuple[str | None, int]] = {}
    for socket, first, last in wanted:
        unit = next(u for u in sockets if socket in (None, _socket_name(u, files[u])))
        listen = _listen(unit, files[unit])
        if listen.port is None:
            raise ProjctlError(f"cannot give {unit} another port: it is a Unix socket")
        ports[unit] = (listen.host, first if first == last else first + number)
    drop_ins = {f"{unit}.d/{DROP_IN}": _socket_text(host, port) for unit, (host, port) in ports.items()}
    service = service_unit(server)
    if "Role=proxy" not in files.get(service, ""):
        variables = port_variables(
            (_socket_name(unit, files[unit]), port) for unit, (_, port) in ports.items()
        )
        if sockets[0] in ports:
            variables["PORT"] = str(ports[sockets[0]][1])
        lines = [f"Environment={unitfile.assignment(name, value)}" for name, value in variables.items()]
        drop_ins[f"{service}.d/{DROP_IN}"] = "\n".join([_head(), "[Service]", *lines, ""])
    return replace(_still(files, server), ports=tuple(ports.values()), drop_ins=drop_ins)


def _still(files: Mapping[str, str], server: str) -> Move:
    """The server with nothing to move yet."""
    sockets = _sockets_of(files, server)
    return Move(server, sockets, tuple(unit for unit in sockets if is_enabled(files[unit])))


def _head() -> str:
    return f"{unitfile.MARKER}until the next boot; end it with: projctl restart NAME --no-override"


def _socket_text(host: str | None, port: int) -> str:
    stream = port if host is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{_head()}\n[Socket]\nListenStream=\nListenStream={stream}\n"


def _sockets_of(files: Mapping[str, str], server: str) -> tuple[str, ...]:
    """The socket units of a server, its first one first."""
    found = [unit for unit in files if unit.endswith(".socket") and instance_of(unit) == server]
    return tuple(
        sorted(found, key=lambda unit: (unit != service_unit(server).replace(".service", ".socket"), unit))
    )


def _is_socket(unit: str, project: str) -> bool:
    return unit.endswith(".socket") and project_of(unit) == project


def _socket_name(unit: str, text: str) -> str:
    return (unitfile.values(unitfile.parse(text), "Socket", "FileDescriptorName") or [socket_of(unit)])[-1]


def _listen(unit: str, text: str) -> Listen:
    stream = (unitfile.values(unitfile.parse(text), "Socket", "ListenStream") or [""])[-1].replace("%%", "%")
    try:
        return parse_listen(stream)
    except ValueError:
        raise ProjctlError(f'cannot give {unit} another port: it listens on "{stream}"') from None


def _number(server: str) -> int:
    return int(server.partition("@")[2] or 0)
