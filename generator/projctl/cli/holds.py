"""Verbs about why a project is up, and that keep it up: why, hold, release."""

from __future__ import annotations

import json
import pwd
from typing import TYPE_CHECKING

import click

from projctl import agentlink, values
from projctl import status as status_
from projctl.cli import options
from projctl.cli.show import moment
from projctl.diagnostics import ProjctlError
from projctl.scope import Scope
from projctl.why import sentence

if TYPE_CHECKING:
    from projctl.status import ProjectStatus


def _span(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A time span as in a manifest."""
    try:
        return None if value is None else values.parse_seconds(value)
    except ValueError as error:
        raise click.BadParameter(f'{error}, "{value}" is none', context, parameter) from None


@click.command(epilog="\b\nExamples:\n  projctl why shop\n  projctl why shop@1 --json")
@options.user
@options.as_json
@options.project()
def why(name: str, user: bool, json_: bool) -> None:
    """Say in one sentence why a project runs or does not, and when it would stop."""
    scope = Scope(user)
    options.require_projects(scope, name)
    found = status_.collect(scope, [name])
    if not found:
        raise ProjctlError(f'cannot find the project "{name}" there')
    if json_:
        options.echo_json([project.as_json() | {"why": _why(project)} for project in found])
        return
    for project in found:
        click.echo((f"{project.name}: " if len(found) > 1 else "") + _why(project))


def _why(project: ProjectStatus) -> str:
    return sentence(project, user_name, moment)


def user_name(uid: int) -> str:
    """The name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


@click.command(epilog="\b\nExamples:\n  projctl hold shop 2h\n  projctl hold shop@1")
@options.user
@options.as_json
@options.project()
@click.argument("span", required=False, callback=_span, metavar="[SPAN]")
def hold(name: str, span: float | None, user: bool, json_: bool) -> None:
    """Keep a project from being stopped as idle, for a time span or until `release`."""
    scope = Scope(user)
    options.require_projects(scope, name)
    held = agentlink.order(scope, "hold", name, seconds=span)["held"]
    if json_:
        click.echo(json.dumps(held, indent=2))
        return
    for server, until in held.items():
        end = "it is released" if until is None else moment(until)
        click.echo(f"{server}: held awake until {end}")


@click.command(epilog="\b\nExample:\n  projctl release shop")
@options.user
@options.as_json
@options.project()
def release(name: str, user: bool, json_: bool) -> None:
    """End the hold on a project: its idle time begins now."""
    scope = Scope(user)
    options.require_projects(scope, name)
    released = agentlink.order(scope, "release", name)["released"]
    if json_:
        click.echo(json.dumps(released, indent=2))
    else:
        click.echo("\n".join(f"{server}: released" for server in released) or f"{name}: was not held")
