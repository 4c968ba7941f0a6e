"""The verb that tells what a fleet did: report."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

import click

from projctl import systemctl
from projctl.cli import options, tables
from projctl.cli.render import warn
from projctl.report import collect, document, page, text
from projctl.scope import Scope

if TYPE_CHECKING:
    from projctl.report.document import Report

_STYLES = {"met": "green", "not met": "red"}


@click.command(
    epilog="""\b
Examples:
  projctl report
  projctl report --since -7d
  projctl report --since 2026-01-01 --html -o report.html"""
)
@options.user
@options.as_json
@click.option("--html", "html", is_flag=True, help="Make one page for a browser instead.")
@options.window
@click.option(
    "-o", "--output", type=click.File("w", encoding="utf-8"), default="-", metavar="FILE",
    help="Write it there instead of printing it.",
)  # fmt: skip
def report(
    user: bool, json_: bool, html: bool, since: str | None, until: str | None, output: IO[str]
) -> None:
    """Show what the fleet did: memory saved, starts, availability, beside their targets, and what to change."""
    if json_ and html:
        raise click.UsageError('"--json" and "--html" exclude each other')
    scope = Scope(user)
    systemctl.require(scope)
    found, problems = collect.collect(scope, since or "-30d", until or "now")
    warn(problems)
    if html:
        click.echo(page.render(found), output, nl=False)
    elif json_:
        click.echo(json.dumps(document.as_json(found), indent=2), output)
    elif output.isatty():
        _show(found)
    else:
        click.echo(text.plain(found), output, nl=False)


def _show(found: Report) -> None:
    for line in text.head(found):
        click.echo(line)
    for heading, columns, rows in text.tables(found):
        click.echo(f"\n{click.style(heading, bold=True)}" if heading else "")
        verdicts = (
            [{text.VERDICT: _STYLES.get(row[text.VERDICT], "dim")} for row in rows] if not heading else []
        )
        tables.show(columns, rows, verdicts)
    for line in text.remarks(found):
        click.echo(line)
