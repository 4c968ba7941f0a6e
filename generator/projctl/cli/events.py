"""The verb events: what happened to projects, as the agent's program reads it from the journal."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING

import click

from projctl import agentprogram, happenings, systemctl
from projctl.cli import options, tables
from projctl.report import events as events_
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINES = 50
#: Of the cells of a stream, which cannot know what is to come.
_WIDTHS = (23, 16, 9, 13, 0)
_STYLES = {"ready": "green", "crashed": "red", "oom": "red", "idle_stop": "dim", "stopped": "dim"}


@click.command(
    epilog="\b\nExamples:\n  projctl events\n  projctl events shop --since -1d\n  projctl events -f --json"
)
@options.user
@click.option("-f", "--follow", is_flag=True, help="Go on showing what happens until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0),
    help=f"How many, the newest. Default: {_LINES}, or all of a time that --since or --until names.",
)  # fmt: skip
@options.window
@options.as_json
@options.project(many=True, optional=True)
def events(
    names: tuple[str, ...], user: bool, follow: bool, lines: int | None, since: str | None, until: str | None,
    json_: bool,
) -> None:  # fmt: skip
    """Show what happened to projects: starts, stops and why, crashes, what each run used."""
    scope = Scope(user)
    systemctl.require(scope)
    if follow and (lines is not None or until is not None):
        raise click.UsageError("--follow cannot be used with --lines or --until")
    count = _LINES if lines is None and since is None and until is None and not follow else lines
    window = {"since": since if since is not None or not follow else "now", "until": until}
    words = [f"--{key}={systemctl.moment(value):f}" for key, value in window.items() if value is not None]
    words = [word.replace("=", "=@", 1) for word in words]
    words += [f"--project={project}" for project in sorted({name.partition("@")[0] for name in names})]
    command = agentprogram.command(scope, "events", "--json", *words, *(["--follow"] if follow else []))
    told = systemctl.stream(command, sys.stdout.fileno()) if follow else systemctl.output(command)
    _show(_of(told, names), count, follow=follow, json_=json_)


def _of(lines: Iterable[str], names: tuple[str, ...]) -> Iterator[tuple[str, events_.Event]]:
    """Each line with its event; of an instance that is named only its own."""
    for line in lines:
        for event in events_.parse([line]):
            if not names or event.server in names or event.server.partition("@")[0] in names:
                yield line, event


def _show(told: Iterable[tuple[str, events_.Event]], count: int | None, *, follow: bool, json_: bool) -> None:
    shown = told if follow else deque(told, count)
    if json_:
        for line, _ in shown:
            click.echo(line.rstrip("\n"))
    elif sys.stdout.isatty() and not follow:
        rows = [happenings.row(event) for _, event in shown]
        tables.show(happenings.COLUMNS, rows, [{happenings.EVENT: _STYLES.get(row[2], "")} for row in rows])
    elif sys.stdout.isatty():
        for _, event in shown:
            click.echo(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(happenings.row(event), _WIDTHS, strict=True)
                )
            )
    else:
        click.echo("\t".join(column.heading for column in happenings.COLUMNS))
        for _, event in shown:
            click.echo("\t".join(happenings.row(event)))
