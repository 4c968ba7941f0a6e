"""Verbs that show what is going on: list, status, logs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from projctl import status as status_
from projctl import systemctl
from projctl.cli import options
from projctl.diagnostics import ProjctlError
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl.status import ProjectStatus

_COLOURS = {"running": "green", "frozen": "cyan", "failed": "red", "asleep": "dim", "down": "red"}


@click.command("list", epilog="\b\nExamples:\n  projctl list\n  projctl list --json | jq '.[].state'")
@options.user
@options.remote
@options.as_json
def list_(user: bool, host: str | None, machine: str | None, json_: bool) -> None:
    """List all projects: state, addresses, memory, CPU, since when."""
    scope = Scope(user, host, machine)
    systemctl.require(scope)
    projects = status_.collect(scope)
    if json_:
        click.echo(json.dumps([project.as_json() for project in projects], indent=2))
    elif sys.stdout.isatty():
        _table(projects)
    else:
        for row in _rows(projects):
            click.echo("\t".join(row))


_HEAD = ("NAME", "STATE", "LISTENS ON", "PID", "MEMORY", "CPU", "UPTIME", "IDLE", "STARTS")


def _rows(projects: Sequence[ProjectStatus]) -> Sequence[tuple[str, ...]]:
    return [_HEAD] + [
        (
            project.name,
            project.state,
            ",".join(socket.address for socket in project.sockets) or "-",
            _known(project.pid),
            size(project.memory_bytes),
            "-" if project.cpu_seconds is None else f"{project.cpu_seconds:.2f}s",
            span(project.uptime_seconds),
            span(project.idle_seconds),
            _known(project.starts),
        )
        for project in projects
    ]


def _table(projects: Sequence[ProjectStatus]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in _HEAD:
        table.add_column(heading, justify="left" if heading in _HEAD[:3] else "right")
    for row in _rows(projects)[1:]:
        table.add_row(row[0], Text(row[1], style=_COLOURS.get(row[1], "yellow")), *row[2:])
    Console().print(table)


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def size(count: int | None) -> str:
    """Bytes for people: `38.2M`."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "K", "M", "G"):
        if value < 1024:
            return f"{value:.1f}{unit}" if unit != "B" else f"{count}B"
        value /= 1024
    return f"{value:.1f}T"


def span(seconds: float | None) -> str:
    """A time span for people, its two largest units: `2h 5min`."""
    if seconds is None:
        return "-"
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if rest >= length or (unit == "s" and not parts):
            parts.append(f"{rest // length}{unit}")
            rest %= length
    return " ".join(parts[:2])


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
        shown = [project.as_json() for project in found]
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=2))
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
        ("pid", _known(project.pid)),
        ("memory", size(project.memory_bytes)),
        ("cpu", cpu),
        ("uptime", span(project.uptime_seconds)),
        ("idle", span(project.idle_seconds)),
        ("starts", _known(project.starts)),
    ]


@click.command(
    epilog="\b\nExamples:\n  projctl logs shop\n  projctl logs shop -f\n  projctl logs shop -n 100"
)
@options.user
@click.option("-f", "--follow", is_flag=True, help="Go on showing new lines until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="How many lines."
)
@options.project()
def logs(name: str, user: bool, follow: bool, lines: int) -> int:
    """Show what a project wrote, what systemd did with it, and what the agent decided about it."""
    scope = Scope(user)
    options.require_projects(scope, name)
    matches = _matches(scope, name)
    follows = ["--follow"] if follow else ["--no-pager"] if not sys.stdout.isatty() else []
    return systemctl.journal(Scope(), [f"--lines={lines}", *follows, *matches])


def _matches(scope: Scope, name: str) -> list[str]:
    """Every entry about the project: its own output, systemd's about its units, the agent's decisions."""
    units = options.units_installed(scope, name)
    own, about = ("_SYSTEMD_USER_UNIT", "USER_UNIT") if scope.user else ("_SYSTEMD_UNIT", "UNIT")
    groups = [f"PROJCTL_PROJECT={name.partition('@')[0]}"] if "@" not in name else []
    for unit in units:
        groups += ["+"] * bool(groups) + [f"{own}={unit}", "+", f"{about}={unit}"]
    return groups
