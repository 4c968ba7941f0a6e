"""Verbs that read manifests and change nothing that runs: check, render, schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from projctl import apply, build, manifest
from projctl import check as check_
from projctl.cli import options
from projctl.preflight import session
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projctl.diagnostics import Problem


def warn(problems: Iterable[Problem]) -> None:
    """Print what is worth a warning."""
    for problem in problems:
        click.echo(str(problem), err=True)


def trying(project: str) -> None:
    """Say on a terminal what is being tried: it takes as long as the project needs to start."""
    if sys.stderr.isatty():
        click.secho(f"trying {project} …", err=True, dim=True)


@click.command(epilog="\b\nExamples:\n  projctl check\n  projctl check -f base.yaml -f production.yaml")
@options.user
@options.manifests
@options.version
@click.option(
    "--preflight", is_flag=True, help="Also start each project once and see whether it takes its socket."
)
def check(files: tuple[Path, ...], user: bool, systemd_version: int | None, preflight: bool) -> None:
    """Look for every mistake in the manifests and in what they need of this machine."""
    scope = Scope(user)
    found = build.wanted(files, scope, systemd_version=systemd_version)
    warn([*found.warnings, *check_.advice(found.fleet, user_mode=user)])
    if systemd_version is None:
        apply.verify(scope, found.units)
    if preflight:
        with apply.locked(scope):
            session.require(found, found.fleet.projects, scope, trying)
    count = len(found.fleet.projects)
    click.echo(f"{count} project{'s' if count != 1 else ''}, no problem found")


@click.command(
    epilog="\b\nExamples:\n  projctl render -f shop.yaml\n  projctl render -o /tmp/units --systemd-version 257"
)
@options.user
@options.manifests
@options.version
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write the units there and record the ports they got.",
)  # fmt: skip
def render(files: tuple[Path, ...], user: bool, systemd_version: int | None, output: Path | None) -> None:
    """Print the units, or write them into a directory; nothing is installed."""
    scope = Scope(user)
    if output is None:
        found = build.wanted(files, scope, systemd_version=systemd_version)
        click.echo("\n".join(f"# {name}\n{text}" for name, text in sorted(found.units.items())), nl=False)
    else:
        with apply.locked(scope):
            found = build.wanted(files, scope, systemd_version=systemd_version)
            apply.export(output, found.units)
            apply.write_registry(scope, found.registry)
        click.echo(f"{len(found.units)} units written to {output}")
    warn(found.warnings)


@click.command(epilog="\b\nExample:\n  projctl schema > projctl.schema.json")
def schema() -> None:
    """Print the JSON Schema of manifests, for editors."""
    click.echo(json.dumps(manifest.schema(), indent=2))
