"""Verbs about ports: how full the ranges are, who has which, which are free, forgetting old ones."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from projctl import inventory, portlist
from projctl.cli import options, tables
from projctl.cli.render import warn
from projctl.diagnostics import ProjctlError
from projctl.listing import known
from projctl.scope import Scope
from projctl.table import Column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projctl.inventory import Inventory

_RANGES = (
    Column("RANGE"), Column("FOR", rank=3), Column("TOTAL", right=True, rank=1), Column("USED", right=True),
    Column("OTHERS", right=True, rank=4), Column("BARRED", right=True, rank=5), Column("FREE", right=True),
    Column("UTILISATION", right=True, rank=2),
)  # fmt: skip
_PORTS = (
    Column("PROJECT", least=16), Column("SOCKET", rank=1, least=6), Column("PORT", least=5),
    Column("SINCE", rank=3), Column("STARTS", right=True, rank=2),
)  # fmt: skip


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  projctl ports
  projctl ports --free 3
  projctl ports release shop""",
)
@options.user
@options.manifests
@options.as_json
@click.option(
    "--free", "count", type=click.IntRange(min=1, max=65535), metavar="N", help="Print N free ports instead."
)
@click.pass_context
def ports(
    context: click.Context, files: tuple[Path, ...], user: bool, json_: bool, count: int | None
) -> None:
    """Show how full the ranges are, and which project has which port since when."""
    if context.invoked_subcommand is not None:
        if user or files or json_ or count:
            raise click.UsageError(f'options of "{context.invoked_subcommand}" must stand after it')
        return
    if count is not None:
        _print_free(inventory.free(files, Scope(user), count), count, json_=json_)
        return
    found = inventory.collect(files, Scope(user))
    warn(found.warnings)
    if json_:
        click.echo(json.dumps(_as_json(found), indent=2))
    else:
        _print_all(found)


def _print_free(found: Sequence[int], count: int, *, json_: bool) -> None:
    click.echo(json.dumps(found) if json_ else "\n".join(map(str, found)), nl=bool(found or json_))
    if len(found) < count:
        hint = 'add a range under "ports"; projctl ports shows how full they are'
        raise ProjctlError(f"cannot find {count} free ports: there are {len(found)}", hint=hint)


def _as_json(found: Inventory) -> dict[str, object]:
    return {
        "ranges": [use.as_json() for use in found.ranges],
        "ports": [asdict(use) for use in found.ports],
        "released": [
            {key: asdict(use)[key] for key in ("project", "socket", "host", "port", "since")}
            for use in found.released
        ],
    }


def _print_all(found: Inventory) -> None:
    tables.show(_RANGES, [_range_row(use) for use in found.ranges])
    click.echo()
    tables.show(_PORTS, [_port_row(use) for use in found.ports])
    gone = len({use.project for use in found.released})
    if gone and sys.stdout.isatty():
        click.echo(f"\nlast ports of {gone} more project{'s' * (gone != 1)} are remembered, see --json")


def _range_row(use: portlist.RangeUse) -> list[str]:
    numbers = (use.total, use.used, use.others, use.barred, use.free)
    return [f"{use.first}-{use.last}", use.kind, *map(str, numbers), f"{use.utilisation:.0%}"]


def _port_row(use: portlist.PortUse) -> list[str]:
    port = str(use.port) if use.host is None else use.address
    return [use.project, use.socket, port, use.since, known(use.starts)]


@ports.command(epilog="\b\nExample:\n  projctl ports release shop")
@options.user
@click.argument("name", metavar="NAME")
def release(name: str, user: bool) -> None:
    """Forget the ports of a project that is no longer installed: others may have them."""
    for use in inventory.release(Scope(user), name):
        click.echo(f"forgot port {use.port} ({use.project}, {use.socket})")
