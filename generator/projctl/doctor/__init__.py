"""Looks at the machine, the agent and every project, and says what cures what is not well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import __version__
from projctl.doctor import agent, fleet, fleetfacts, host, hostfacts, ports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projctl.doctor.findings import Finding
    from projctl.scope import Scope


def examine(files: Sequence[Path], scope: Scope) -> list[Finding]:
    """Every finding; the agent and projects only where a systemd answers."""
    machine = hostfacts.host(scope)
    found = list(host.examine(machine))
    if machine.systemd is not None:
        flag = " --user" if scope.user else ""
        found += agent.examine(hostfacts.agent(scope), __version__, user_mode=scope.user)
        projects = fleetfacts.projects(files, scope)
        found += fleet.examine(projects, flag=flag)
        found += ports.examine(projects.ports)
    return found
