"""Who holds which address now, and from there an address for every socket of the fleet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from projctl import adapters, apply, installed, machine, ports, recovery, registry, systemctl, unitfile
from projctl.addresses import Address, Holdings, overlap
from projctl.diagnostics import Problem, ProjctlError
from projctl.listen import Listen, parse_listen
from projctl.names import instance_of, project_of, socket_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from projctl.installed import Installed
    from projctl.model import Fleet
    from projctl.scope import Scope

#: Where a server behind a proxy listens: never reachable from another machine.
PRIVATE = Listen(host="127.0.0.1", auto=True)


def assign(
    fleet: Fleet, scope: Scope, there: Installed, kept: Collection[str]
) -> tuple[dict[tuple[str, str], Address], registry.Registry, list[Problem]]:
    """An address for every socket; `kept` are installed projects outside this fleet that keep theirs."""
    known, problems = read_registry(scope, there)
    open_units = _open_units(scope)
    generated = {} if scope.user else installed.generated(scope)
    ours = {unit: text for unit, text in generated.items() if project_of(unit) in fleet.projects}
    own = _own({**ours, **there.files}, known, open_units)
    own_paths = {address.path for address in own if address.path}
    addresses, recorded, more = ports.assign(
        ports.wants(fleet, private(fleet)) + _wants_of(there, known, kept),
        known,
        Holdings(_by_endpoint(open_units), machine.listeners(), own=own),
        ephemeral=machine.ephemeral_range(),
        now=datetime.now(UTC),
        reserved=machine.reserved_ports(),
        privileged_below=machine.first_unprivileged_port() if scope.user else 0,
        taken_paths={path: who for path, who in machine.unix_listeners().items() if path not in own_paths},
        runtime_dir=str(scope.runtime),
    )
    return addresses, recorded, problems + more


def private(fleet: Fleet) -> dict[str, Listen]:
    """The private address that each server behind a proxy wants, by project."""
    return {
        name: PRIVATE
        for name, project in fleet.projects.items()
        if adapters.choose(project).proxied and project.network == "host"
    }


def read_registry(scope: Scope, there: Installed) -> tuple[registry.Registry, list[Problem]]:
    """The stored registry; when it is damaged, or gone although units are installed, a new one and a warning."""
    file = scope.state / apply.REGISTRY
    text = apply.read_registry(scope)
    if text is None and not recovery.ports_in_use(there.files):
        return registry.Registry(), []
    try:
        if text is not None:
            return registry.loads(text, str(file)), []
        message, hint = f"cannot find {file}", None
    except registry.DamagedError as error:
        message = error.problems[0].message
        hint = f"it is kept as {file.name}.damaged-TIME beside the new one, once ports are recorded again"
    found = recovery.rebuild(text or "", there.files, datetime.now(UTC))
    count = len(found.entries)
    message += f"; rebuilt from the installed units and what can be read: {count} port{'s' * (count != 1)}"
    return found, [Problem(message, hint=hint, severity="warning")]


def held_now(scope: Scope) -> frozenset[int]:
    """Every TCP port that a socket unit has open or a process listens on, ours included."""
    units = {a.port for addresses in _open_units(scope).values() for a in addresses if a.port is not None}
    return frozenset(units | {port for _, port in machine.listeners()})


def _by_endpoint(open_units: Mapping[str, list[Address]]) -> dict[tuple[str | None, int], str]:
    """Who has each port, as messages name it."""
    return {
        (address.host, address.port): f"systemd unit {unit}"
        for unit, addresses in open_units.items()
        for address in addresses
        if address.port is not None
    }


def _open_units(scope: Scope) -> dict[str, list[Address]]:
    """The addresses of our socket units that are open and of all others that systemd has loaded.

    Those of others open again at the next boot, or when somebody starts them. None where no systemd answers.
    """
    try:
        systemctl.require(scope)
        listening = systemctl.open_sockets(scope)
        loaded = systemctl.open_sockets(scope, every=True)
    except ProjctlError:
        return {}
    listening |= {unit: streams for unit, streams in loaded.items() if project_of(unit) is None}
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
    files: Mapping[str, str], known: registry.Registry, open_units: Mapping[str, list[Address]]
) -> list[Address]:
    """What our installed projects have open themselves, private ports included: no conflict with themselves."""
    # Not where an override put a socket: that port belongs to nobody else, and is not its owner's for good.
    sockets = [
        address
        for unit, addresses in open_units.items()
        if unit in files
        for address in addresses
        if address.path or address.port in _planned_ports(files[unit])
    ]
    projects = {project_of(unit) for unit in files}
    # A server that ignores $HOST listens on its private port at every address; it is the same server.
    private = [
        Address("tcp", host, entry.port)
        for (project, socket), entry in known.entries.items()
        if socket.partition("@")[0] == ports.BACKEND and project in projects
        for host in (entry.host, None, "0.0.0.0", "::1")  # noqa: S104 - compared, not bound
    ]
    return sockets + private


def _planned_ports(text: str) -> set[int | None]:
    """The ports that a socket's own unit file gives it."""
    streams = unitfile.values(unitfile.parse(text), "Socket", "ListenStream")
    return {address.port for stream in streams if (address := _address(stream.replace("%%", "%")))}


def holder(scope: Scope, project: str, host: str | None, port: int) -> str | None:
    """Who else has the port now, or was given it; None when the project may have it."""
    known, _ = read_registry(scope, installed.read(scope))
    for (name, _), entry in known.entries.items():
        if name != project and entry.port == port and overlap(entry.host, host):
            return f'project "{name}"'
    open_units = _open_units(scope)
    own = [a for unit, addresses in open_units.items() if project_of(unit) == project for a in addresses]
    taken = Holdings(_by_endpoint(open_units), machine.listeners(), own=own)
    return next(
        (who for (other, number), who in taken.items() if number == port and overlap(other, host)), None
    )


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
            name = (unitfile.values(sections, "Socket", "FileDescriptorName") or [socket_of(unit)])[-1]
            stream = (unitfile.values(sections, "Socket", "ListenStream") or [""])[-1]
            try:
                listen = parse_listen(stream.replace("%%", "%"))
            except ValueError:
                # Another kind of stream, written by hand: no socket of a manifest can collide with it.
                continue
            number = (instance_of(unit) or "").partition("@")[1:]
            if (project, listen.port) not in recorded:
                found.append(ports.Want(project, name + "".join(number), listen, ()))
    return found
