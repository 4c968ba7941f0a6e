"""Verbs that compare with what is installed, and change it: diff, apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from projctl import apply as apply_
from projctl import build, systemctl
from projctl.cli import options
from projctl.cli.render import trying, warn
from projctl.preflight import session
from projctl.scope import Scope

if TYPE_CHECKING:
    from pathlib import Path

    from projctl.plan import Plan

_COLOURS = {"+": "green", "~": "yellow", "-": "red"}


def _print_plan(plan: Plan) -> None:
    width = max((len(step.unit) for step in plan.steps), default=0)
    for step in plan.steps:
        click.secho(f"{step.sign} {step.unit:<{width}}  {step.what}".rstrip(), fg=_COLOURS[step.sign])
    if plan.reload:
        click.echo("  systemd reloads its units once")
    for server in plan.down:
        click.echo(f"  {server} is down and stays so until: projctl up {server}")


@click.command(epilog="\b\nExample:\n  projctl diff -f shop.yaml")
@options.user
@options.manifests
def diff(files: tuple[Path, ...], user: bool) -> None:
    """Show how the installed units would change, line by line."""
    scope = Scope(user)
    found = build.wanted(files, scope)
    warn(found.warnings)
    for line in build.difference(found):
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.secho(line, fg=colour)


@click.command(
    epilog="""\b
Examples:
  projctl apply --dry-run
  projctl apply
  projctl apply --user -f ~/shop/projects.yaml

A manifest owns the projects that came from it: what it no longer names is stopped and removed.
Projects of other manifests are left alone."""
)
@options.user
@options.manifests
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@options.no_preflight
def apply(files: tuple[Path, ...], user: bool, dry_run: bool, no_preflight: bool) -> None:
    """Install the units of the manifests, open the sockets, and remove what is no longer wanted."""
    scope = Scope(user)
    systemctl.require(scope)
    if dry_run:
        found = build.wanted(files, scope)
        warn(found.warnings)
        planned = build.plan_for(found, scope)
        _print_plan(planned)
        if not planned.steps:
            click.echo("nothing to change")
        return
    with apply_.locked(scope):
        before = build.manifest_digests(files, scope)
        found = build.wanted(files, scope)
        warn(found.warnings)
        plan = build.plan_for(found, scope)
        apply_.verify(scope, build.touched(found, plan))
        if not no_preflight:
            session.require(found, build.changed(plan) & found.fleet.projects.keys(), scope, trying)
        _print_plan(plan)
        rendered = build.for_generator(found, before) if before else {}
        if plan.empty:
            apply_.write_registry(scope, found.registry)
            if rendered:
                apply_.keep_rendered(scope, rendered)
            apply_.confirm(scope)
        else:
            apply_.run(plan, scope, found.registry, rendered)
    click.echo("applied" if plan.steps else "nothing to change")
