"""The verb that looks for what is not well and says what cures it: doctor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from projctl import doctor as doctor_
from projctl.cli import options
from projctl.diagnostics import one_line
from projctl.doctor.findings import STATUS, worst
from projctl.listing import plural
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projctl.doctor.findings import Finding

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}


@click.command(
    epilog="""\b
Examples:
  projctl doctor
  projctl doctor --json | jq '.findings[] | select(.severity != "ok")'

Exit status: 0 when all is well or worth a note at most, 1 with warnings, 3 with errors."""
)
@options.user
@options.manifests
@options.as_json
def doctor(files: tuple[Path, ...], user: bool, json_: bool) -> int:
    """Look at the machine, the agent and every project: what is not well, and what cures it."""
    found = doctor_.examine(files, Scope(user))
    if json_:
        shown = {"worst": worst(found), "findings": [finding.as_json() for finding in found]}
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(found)
    return STATUS[worst(found)]


def _print(found: Sequence[Finding]) -> None:
    width = max(len(_subject(finding)) for finding in found)
    for finding in found:
        head = click.style(f"{finding.severity:<7}", fg=_COLOURS[finding.severity])
        click.echo(f"{head}  {_subject(finding):<{width}}  {one_line(finding.message)}")
        if finding.cure:
            click.echo(f"{'':<9}{'':<{width}}  cure: {one_line(finding.cure)}")
    counts = [(sum(f.severity == kind for f in found), kind) for kind in ("error", "warning", "note")]
    click.echo(", ".join(plural(count, kind) for count, kind in counts if count) or "all is well")


def _subject(finding: Finding) -> str:
    return f"{finding.check} {finding.project}" if finding.project else finding.check
