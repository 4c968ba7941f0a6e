"""Verbs that show what is going on: list, status."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from projctl import listing, systemctl, why
from projctl import status as status_
from projctl.cli import options, tables
from projctl.diagnostics import ProjctlError
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.status import ProjectStatus


@click.command("list", epilog="\b\nExamples:\n  projctl list\n  projctl list --json | jq '.[].state'")
@options.user
@options.remote
@options.as_json
def list_(user: bool, host: str | None, machine: str | None, json_: bool) -> None:
    """List all projects: state, process, ports, CPU, memory, since when, idle for how long, starts."""
    scope = Scope(user, host, machine)
    systemctl.require(scope)
    projects = status_.collect(scope)
    if json_:
        click.echo(json.dumps([project.as_json() for project in projects], indent=2))
    else:
        styles = [{listing.STATE: tables.style_of(project.state)} for project in projects]
        tables.show(listing.COLUMNS, [listing.row(project) for project in projects], styles)


def coloured(state: str, text: str) -> str:
    """The text in the colour of the state."""
    return click.style(text, fg=tables.COLOURS.get(state, "yellow"), dim=state == "asleep")


@click.command(epilog="\b\nExamples:\n  projctl status shop\n  projctl status shop --json")
@options.user
@options.remote
@options.as_json
@options.project()
def status(name: str, user: bool, host: str | None, machine: str | None, json_: bool) -> None:
    """Show one project: its state and why, addresses, process and figures."""
    scope = Scope(user, host, machine)
    options.require_projects(scope, name)
    found = status_.collect(scope, [name])
    if not found:
        raise ProjctlError(f'cannot find the project "{name}" there')
    if json_:
        options.echo_json([project.as_json() for project in found])
        return
    for project in found:
        _print_status(project)


def _print_status(project: ProjectStatus) -> None:
    click.echo(f"{project.name}: {project.state}" + (f" ({project.reason})" if project.reason else ""))
    for socket in project.sockets:
        moved = ", override" if project.override else ""
        click.echo(f"  listens on  {socket.address} ({socket.name}{moved})")
    for label, value in _facts(project):
        if value != "-":
            click.echo(f"  {label:<11} {value}")


def _facts(project: ProjectStatus) -> list[tuple[str, str]]:
    cpu = "-" if project.cpu_seconds is None else f"{project.cpu_seconds:.3f} s"
    return [
        ("unit", project.unit),
        ("pid", listing.known(project.pid)),
        ("memory", listing.size(project.memory_bytes)),
        ("cpu", cpu),
        ("uptime", listing.span(project.uptime_seconds)),
        ("idle", listing.span(project.idle_seconds)),
        ("last use", project.activity or "-"),
        ("would stop", "-" if project.would_stop_at is None else f"at {moment(project.would_stop_at)}"),
        *_signals(project.signals or {}),
        ("hold", "-" if project.hold is None else _hold(project.hold)),
        ("left over", ", ".join(project.left_over) or "-"),
        ("starts", listing.known(project.starts)),
    ]


def _signals(signals: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each sign of use by itself, as the agent has just seen it."""
    if not signals:
        return
    into, out = signals["bytes_in"], signals["bytes_out"]
    yield "bytes", "-" if into is None else f"{listing.size(into)} in, {listing.size(out)} out"
    ages = [
        f"{label} {why.spaced(age)} ago"
        for label, age in (("last in", signals["received_seconds"]), ("last out", signals["sent_seconds"]))
        if age is not None
    ]
    yield "connections", ", ".join([f"{signals['connections']}", *ages, f"{signals['waiting']} waiting"])
    cpu, busy = signals["cpu_percent"], signals["busy_cpu_percent"]
    use = "never use" if busy is None else f"{busy:g} % is use"
    yield "cpu now", "-" if cpu is None else f"{cpu:.1f} % ({use})"
    if (held := signals["program_held_seconds"]) is not None:
        yield "program", "holds it awake" if held == 0 else f"held it awake {why.spaced(held)} ago"


def _hold(hold: dict[str, Any]) -> str:
    return f"until {'it is released' if hold['until'] is None else moment(hold['until'])}"


def moment(seconds: float) -> str:
    """A time of today, or with its date; given in seconds since 1970."""
    local = datetime.fromtimestamp(seconds).astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M}"
