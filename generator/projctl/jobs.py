"""Starts, stops and restarts the servers of projects through systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import systemctl
from projctl.names import backend_unit, service_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl.scope import Scope


def start(scope: Scope, names: Sequence[str]) -> None:
    """Start the servers and wait until they are ready."""
    systemctl.start(scope, [service_unit(name) for name in names])


def stop(scope: Scope, names: Sequence[str]) -> None:
    """Stop the servers and wait until they are gone; sockets keep listening."""
    systemctl.stop(scope, [service_unit(name) for name in names] + _backends(scope, names))


def restart(scope: Scope, names: Sequence[str]) -> None:
    """Restart the servers; a server that sleeps is started."""
    backends = _backends(scope, names)
    # Restarting a backend restarts the proxy bound to it; a sleeping one is started through its proxy.
    systemctl.stop(scope, backends)
    systemctl.restart(scope, [service_unit(name) for name in names])


def _backends(scope: Scope, names: Sequence[str]) -> list[str]:
    shown = systemctl.show(scope, [backend_unit(name) for name in names], ("Id", "LoadState"))
    return [unit["Id"] for unit in shown if unit.get("LoadState") == "loaded"]
