"""Takes projects down for maintenance, their sockets closed, and up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import announce, apply, installed, jobs, systemctl
from projctl.names import closing_order, instance_of
from projctl.plan import is_always_warm, is_enabled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl.scope import Scope


def down(scope: Scope, names: Sequence[str]) -> None:
    """Close the sockets of these projects, or of the instances `NAME@N`, until `up` or a reboot."""
    with apply.locked(scope):
        servers = jobs.servers(scope, names)
        announce.tell(scope, "down", servers)
        apply.mark_down(scope, servers, down=True)
        loaded = systemctl.units(scope, "projctl-*")
        systemctl.close(scope, closing_order(unit for unit in loaded if instance_of(unit) in servers))
        # What systemd had given up is failed still, and the agent opens that again.
        closed = [unit for unit in loaded if unit.endswith(".socket") and instance_of(unit) in servers]
        systemctl.reset_failed(scope, closed)


def up(scope: Scope, names: Sequence[str]) -> None:
    """Open the sockets of these projects again; those that are open stay as they are."""
    with apply.locked(scope):
        servers = jobs.servers(scope, names)
        announce.tell(scope, "up", servers)
        files = {
            unit: text
            for unit, text in installed.read(scope).files.items()
            if instance_of(unit) in servers and is_enabled(text)
        }
        systemctl.start(scope, [unit for unit in files if unit.endswith((".socket", ".timer"))])
        systemctl.start_soon(scope, [unit for unit, text in files.items() if is_always_warm(text)])
        apply.mark_down(scope, servers, down=False)
