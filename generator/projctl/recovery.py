"""The port registry again when its file is damaged or gone: from installed units and what can still be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import unitfile
from projctl.addresses import overlap
from projctl.listen import parse_listen
from projctl.names import backend_unit, instance_of, project_of, socket_of
from projctl.ports import BACKEND
from projctl.registry import Registry, salvage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from projctl.addresses import Endpoint
    from projctl.registry import Key


def rebuild(text: str, files: Mapping[str, str], now: datetime) -> Registry:
    """The registry of a damaged `text` (empty: none) that holds every port of the installed unit `files`.

    Rows that can still be read keep their time; a row whose port an installed project of another name has
    becomes history, for the units are what listens.
    """
    legible, in_use = salvage(text), ports_in_use(files)
    hosts: dict[int, list[str | None]] = {}
    for host, port in in_use.values():
        hosts.setdefault(port, []).append(host)
    rows = {
        key: (entry.host, entry.port)
        for key, entry in legible.entries.items()
        if not any(overlap(host, entry.host) for host in hosts.get(entry.port, ()))
    }
    return legible.record({**rows, **in_use}, now)


def ports_in_use(files: Mapping[str, str]) -> dict[Key, Endpoint]:
    """The ports in our unit files by registry key: of sockets, and of servers behind a proxy."""
    found: dict[Key, Endpoint] = {}
    for unit, text in files.items():
        server, project = instance_of(unit), project_of(unit)
        if server is None or project is None:
            continue
        sections, number = unitfile.parse(text), server[len(project) :]
        if unit.endswith(".socket"):
            for name, endpoint in _listening(unit, sections):
                shared = unitfile.values(sections, "Socket", "ReusePort") == ["yes"]
                found[project, name if shared else f"{name}{number}"] = endpoint
        elif unit == backend_unit(server):
            for endpoint in _private(sections):
                found[project, f"{BACKEND}{number}"] = endpoint
    return found


def _listening(unit: str, sections: unitfile.Sections) -> Iterator[tuple[str, Endpoint]]:
    name = (unitfile.values(sections, "Socket", "FileDescriptorName") or [socket_of(unit)])[-1]
    for stream in unitfile.values(sections, "Socket", "ListenStream")[-1:]:
        try:
            listen = parse_listen(stream.replace("%%", "%"))
        except ValueError:
            continue
        if listen.port is not None:
            yield name, (listen.host, listen.port)


def _private(sections: unitfile.Sections) -> Iterator[Endpoint]:
    """Where a server behind a proxy listens; nowhere of ours when it has a network of its own."""
    if unitfile.values(sections, "Service", "PrivateNetwork") == ["yes"]:
        return
    variables = dict(
        text.strip('"').partition("=")[::2] for text in unitfile.values(sections, "Service", "Environment")
    )
    port = variables.get("PORT", "")
    if port.isdecimal() and 1 <= int(port) <= 65535:
        yield variables.get("HOST", "127.0.0.1"), int(port)
