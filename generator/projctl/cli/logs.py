"""The verb logs. It imports little: all else is journalctl's work."""

from __future__ import annotations

import sys

import click

from projctl import entries, journalctl
from projctl.cli import options
from projctl.scope import Scope

_LINES = 50
_EPILOG = """\b
Examples:
  projctl logs shop -f
  projctl logs shop -n 1000
  projctl logs shop --since -1h --priority warning
  projctl logs --all --grep 'HTTP/1.1" 5..' --json
"""


@click.command(epilog=_EPILOG)
@options.user
@click.option("-f", "--follow", is_flag=True, help="Go on showing new lines until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    help=f"How many lines, the newest. Default: {_LINES}, or all that --since, --until or --grep ask for.",
)
@options.window
@click.option("-g", "--grep", metavar="PATTERN", help="Only lines in which the regular expression matches.")
@click.option(
    "-p", "--priority", metavar="LEVEL", help="Only lines of this level or worse: err, warning, 0..7, …"
)
@click.option("--all", "all_", is_flag=True, help="Of all projects, and of the agent.")
@options.as_json
@options.project(optional=True)
def logs(
    name: str | None, user: bool, follow: bool, lines: int | None, since: str | None, until: str | None,
    grep: str | None, priority: str | None, all_: bool, json_: bool,
) -> None:  # fmt: skip
    """Show what a project wrote, what systemd did with it, and what the agent decided about it."""
    if (name is None) is not all_:
        raise click.UsageError("must be given the name of a project, or --all")
    scope = Scope(user)
    matches = entries.of_all(scope) if name is None else _matches(scope, name)
    wanted = {"since": since, "until": until, "grep": grep, "priority": priority}
    count = _LINES if lines is None and {since, until, grep} == {None} else lines
    words = [f"--{key}={value}" for key, value in wanted.items() if value is not None]
    words += [] if count is None else [f"--lines={count}"]
    words += ["--output=json"] if json_ else []
    words += ["--follow"] if follow else [] if sys.stdout.isatty() else ["--no-pager"]
    journalctl.become([*words, *matches])


def _matches(scope: Scope, name: str) -> list[str]:
    """What is about the project, which has unit files or is none."""
    units = entries.units_of(scope, name)
    if not units:
        options.require_projects(scope, name)
    return entries.about(scope, name, units)
