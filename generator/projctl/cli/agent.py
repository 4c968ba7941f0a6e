"""The agent's own verbs: install, uninstall."""

from __future__ import annotations

import click

from projctl import agentunits, apply, systemctl
from projctl.cli import options
from projctl.diagnostics import ProjctlError
from projctl.render import units_dir
from projctl.scope import Scope


@click.group(epilog="\b\nExamples:\n  projctl agent install\n  projctl agent install --user")
def agent() -> None:
    """Install or remove the agent, which stops idle projects and serves metrics."""


@agent.command(epilog="\b\nExample:\n  projctl agent install")
@options.user
@click.option("--start/--no-start", default=True, show_default=True, help="Start it at once.")
def install(user: bool, start: bool) -> None:
    """Install the agent's units for this copy of projctl and enable them."""
    scope = Scope(user)
    systemctl.require(scope)
    systemctl.supported_version()
    if there := agentunits.packaged(scope):
        raise ProjctlError(
            f"cannot install the agent: {there} is there from a package",
            hint=f"use that one: systemctl enable --now {agentunits.SERVICE}; or remove the package first",
        )
    if user and not (bus := scope.runtime.parent / "bus").exists():
        raise ProjctlError(
            f"cannot install the agent: your systemd has no message bus, {bus} is missing",
            hint="install the Debian package dbus-user-session, then log in anew",
        )
    apply.install_agent(scope, agentunits.files(scope, units_dir(), agentunits.executable()), start=start)
    click.echo(f"installed {agentunits.SERVICE}" + (", running" if start else ""))


@agent.command(epilog="\b\nExample:\n  projctl agent uninstall")
@options.user
def uninstall(user: bool) -> None:
    """Stop the agent and remove its units. Projects keep serving; nothing stops them when idle any more."""
    scope = Scope(user)
    systemctl.require(scope)
    there = agentunits.packaged(scope)
    if not (scope.units / agentunits.SERVICE).exists():
        raise ProjctlError(
            f"cannot find {scope.units / agentunits.SERVICE}: the agent is not installed there",
            hint=f"{there} is a package's: remove the package projctl-agent" if there else None,
        )
    apply.remove_agent(scope)
    click.echo(f"removed {agentunits.SERVICE}; projects keep serving")
    if there:
        click.echo(f"to use the packaged one: systemctl enable --now {agentunits.SERVICE}")
