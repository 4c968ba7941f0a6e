"""The verb that tells the agent's metrics: metrics."""

from __future__ import annotations

from pathlib import Path

import click

from projctl import agentlink, apply
from projctl.cli import options
from projctl.diagnostics import ProjctlError
from projctl.scope import Scope

_EPILOG = """\b
Examples:
  projctl metrics
  projctl metrics --textfile /var/lib/prometheus/node-exporter/projctl.prom"""


@click.command(epilog=_EPILOG)
@options.user
@click.option(
    "--textfile", type=click.Path(path_type=Path), metavar="FILE",
    help="Replace this file, for node_exporter's textfile collector, instead of printing.",
)  # fmt: skip
def metrics(user: bool, textfile: Path | None) -> None:
    """Print the agent's metrics as Prometheus reads them."""
    if textfile is not None and textfile.suffix != ".prom":
        raise click.UsageError('"--textfile" must name a file that ends with ".prom": others are not read')
    if textfile is not None and not textfile.parent.is_dir():
        raise ProjctlError(f"cannot find the directory {textfile.parent}")
    text = agentlink.metrics(Scope(user))
    if textfile is None:
        click.echo(text, nl=False)
    else:
        apply.write(textfile, text)
