"""Starts, stops, restarts and reloads the servers of projects through systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import announce, installed, systemctl
from projctl.diagnostics import ProjctlError
from projctl.names import backend_unit, instance_of, pause_units, project_of, service_unit, waves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from projctl.scope import Scope

    Action = Callable[[Scope, Sequence[str]], None]


def start(scope: Scope, names: Sequence[str]) -> None:
    """Start the servers and wait until they are ready."""
    found = up_only(scope, servers(scope, names))
    end_pauses(scope, found)
    _explained(systemctl.start, scope, [service_unit(server) for server in found])


def stop(scope: Scope, names: Sequence[str]) -> None:
    """Stop the servers and wait until they are gone; sockets keep listening."""
    found = servers(scope, names)
    announce.tell(scope, "stop", found)
    systemctl.stop(scope, [service_unit(server) for server in found] + _backends(scope, found))


def restart(scope: Scope, names: Sequence[str]) -> None:
    """Restart the servers, instances one after the other; a server that sleeps is started."""
    for wave in waves(service_unit(server) for server in up_only(scope, servers(scope, names))):
        announce.tell(scope, "restart", [server for unit in wave if (server := instance_of(unit))])
        _explained(cycle, scope, wave)


def cycle(scope: Scope, units: Sequence[str]) -> None:
    """Restart the services that sockets start, together."""
    states = systemctl.units(scope, "projctl-*")

    def running(unit: str) -> bool:
        return states.get(unit, ("inactive", ""))[0] in ("active", "activating", "deactivating")

    end_pauses(scope, [server for unit in units if (server := instance_of(unit))])
    # The restart of a server takes the proxy bound to it along, in one transaction; one that sleeps is started by it.
    backends = {unit: backend_unit(instance_of(unit) or "") for unit in units}
    systemctl.restart(scope, [backends[unit] if running(backends[unit]) else unit for unit in units])


def end_pauses(scope: Scope, found: Iterable[str]) -> None:
    """Let servers start at once that the agent lets wait because they failed: something may have mended them."""
    wanted = {unit for server in found for unit in pause_units(server)}
    systemctl.stop(scope, sorted(wanted & systemctl.units(scope, "projctl-agent-pause@*").keys()))


def reload(scope: Scope, names: Sequence[str]) -> None:
    """Let running servers take over a changed configuration: by their own reload, else by a restart."""
    found = servers(scope, names)
    backends = dict(zip(found, [backend_unit(server) for server in found], strict=True))
    proxied = set(_backends(scope, found))
    units = [backends[server] if backends[server] in proxied else service_unit(server) for server in found]
    for wave in waves(units):
        _explained(systemctl.reload, scope, wave)


def up_only(scope: Scope, found: Sequence[str]) -> Sequence[str]:
    """The servers as they are; raises for those that `projctl down` closed: a start would open their sockets."""
    down = frozenset[str]() if scope.remote else installed.taken_down(scope)
    if closed := [server for server in found if server in down]:
        raise ProjctlError(
            f"cannot start {', '.join(closed)}: taken down", hint=f"projctl up {' '.join(closed)}"
        )
    return found


def servers(scope: Scope, names: Sequence[str]) -> list[str]:
    """All servers of the named projects; `NAME@N` is one instance."""
    loaded = systemctl.units(scope, "projctl-*")
    known = sorted({server for unit in loaded if (server := instance_of(unit))})
    found = [server for server in known if server in names or project_of(service_unit(server)) in names]
    missing = [
        name for name in names if name not in found and not any(s.startswith(f"{name}@") for s in found)
    ]
    return found + missing


def _explained(action: Action, scope: Scope, units: Sequence[str]) -> None:
    """Do it; when it fails, say where the reason stands."""
    try:
        action(scope, units)
    except ProjctlError as error:
        names = sorted({project_of(unit) or unit for unit in units})
        hint = f"what happened: {', '.join(f'projctl logs {name}' for name in names)}"
        raise ProjctlError(
            f"cannot start {', '.join(names)}: {error.problems[0].message}", hint=hint
        ) from None


def _backends(scope: Scope, found: Iterable[str]) -> list[str]:
    loaded = systemctl.units(scope, "projctl-*")
    return [unit for server in found if (unit := backend_unit(server)) in loaded]
