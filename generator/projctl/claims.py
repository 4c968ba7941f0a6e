"""Who holds which address now, and from there an address for every socket of the fleet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from projctl import adapters, apply, machine, ports, registry, systemctl, unitfile
from projctl.addresses import Address, Holdings
from projctl.diagnostics import ProjctlError
from projctl.listen import Listen, parse_listen
from projctl.names import instance_of, project_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from projctl.diagnostics import Problem
    from projctl.installed import Installed
    from projctl.model import Fleet
    from projctl.scope import Scope

#: Where a server behind a proxy listens: never reachable from another machine.
PRIVATE = Listen(host="127.0.0.1", auto=True)


def assign(
    fleet: Fleet, scope: Scope, there: Installed, kept: Collection[str]
) -> tuple[dict[tuple[str, str], Address], registry.Registry, list[Problem]]:
    """An address for every socket; `kept` are installed projects outside this fleet that keep theirs."""
    text = apply.read_registry(scope)
    known = (
        registry.loads(text, str(scope.state / apply.REGISTRY)) if text is not None else registry.Registry()
    )
    private = {
        name: PRIVATE
        for name, project in fleet.projects.items()
        if adapters.choose(project).proxied and project.network == "host"
    }
    open_units = _open_units(scope)
    own = _own(there, known, open_units)
    own_paths = {address.path for address in own if address.path}
    others = {
        (address.host, address.port): f"systemd unit {unit}"
        for unit, addresses in open_units.items()
        for address in addresses
        if address.port is not None
    }
    return ports.assign(
        ports.wants(fleet, private) + _wants_of(there, known, kept),
        known,
        Holdings(others, machine.listeners(), own=own),
        ephemeral=machine.ephemeral_range(),
        now=datetime.now(UTC),
        reserved=machine.reserved_ports(),
        privileged_below=machine.first_unprivileged_port() if scope.user else 0,
        taken_paths={path: who for path, who in machine.unix_listeners().items() if path not in own_paths},
        runtime_dir=str(scope.runtime),
    )


def _open_units(scope: Scope) -> dict[str, list[Address]]:
    """The addresses of all socket units that systemd has open; none where no systemd answers."""
    try:
        systemctl.require(scope)
        listening = systemctl.open_sockets(scope)
    except ProjctlError:
        return {}
    return {unit: [a for stream in streams if (a := _address(stream))] for unit, streams in listening.items()}


def _address(stream: str) -> Address | None:
    """The address of a ListenStream= value; None for what is neither a TCP port nor a path."""
    try:
        listen = parse_listen(stream)
    except ValueError:
        return None
    host = None if listen.host == "::" else listen.host
    return Address(listen.kind, host, listen.port, listen.path)


def _own(
    there: Installed, known: registry.Registry, open_units: Mapping[str, list[Address]]
) -> list[Address]:
    """What our installed projects have open themselves, private ports included: no conflict with themselves."""
    sockets = [
        address for unit, addresses in open_units.items() if unit in there.files for address in addresses
    ]
    installed = {project_of(unit) for unit in there.files}
    # A server that ignores $HOST listens on its private port at every address; it is the same server.
    private = [
        Address("tcp", host, entry.port)
        for (project, socket), entry in known.entries.items()
        if socket.partition("@")[0] == ports.BACKEND and project in installed
        for host in (entry.host, None, "0.0.0.0", "::1")  # noqa: S104 - compared, not bound
    ]
    return sockets + private


def _wants_of(there: Installed, known: registry.Registry, kept: Collection[str]) -> list[ports.Want]:
    """What projects outside this run have, as wishes that nobody can outbid."""
    found = [
        ports.Want(project, socket, Listen(host=entry.host, port=entry.port), ())
        for (project, socket), entry in known.entries.items()
        if project in kept
    ]
    recorded = {(want.project, want.listen.port) for want in found}
    for unit, text in there.files.items():
        project = project_of(unit)
        if project in kept and project and unit.endswith(".socket"):
            sections = unitfile.parse(text)
            name = unitfile.values(sections, "Socket", "FileDescriptorName")[-1]
            listen = parse_listen(unitfile.values(sections, "Socket", "ListenStream")[-1].replace("%%", "%"))
            number = (instance_of(unit) or "").partition("@")[1:]
            if (project, listen.port) not in recorded:
                found.append(ports.Want(project, name + "".join(number), listen, ()))
    return found
