"""Tables: on a terminal by rich, with colours where it has them and never wider than it is; else by tabs."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from projctl.table import fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

    from projctl.table import Column

#: Of states; of those that are not here (starting, stopping) yellow.
COLOURS = {"running": "green", "frozen": "cyan", "failed": "red", "asleep": None, "down": "red"}


def style_of(state: str) -> str:
    """The style of a state, as rich takes it."""
    return "dim" if state == "asleep" else COLOURS.get(state) or "yellow"


def show(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], styles: Sequence[Mapping[int, str]] = ()
) -> None:
    """Print the rows under their headings; `styles` are rich's, by row and number of the column."""
    if sys.stdout.isatty():
        console().print(grid(columns, rows, styles))
        return
    for row in [[column.heading for column in columns], *rows]:
        click.echo("\t".join(row))


def console() -> Console:
    """The terminal, in as many colours as it has."""
    from rich.console import Console

    # no-color.org: NO_COLOR is about bold and dim as well.
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(highlight=False, color_system=None if plain else "auto")


def grid(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    styles: Sequence[Mapping[int, str]] = (),
    shown: slice | None = None,
) -> Table:
    """The table, as wide as the terminal at the most; of the rows only those that are `shown`."""
    from rich.table import Table
    from rich.text import Text

    heading, *lines = fit(columns, rows, shutil.get_terminal_size().columns)
    found = Table(box=None, pad_edge=False, header_style="bold")
    for number, cell in heading:
        found.add_column(
            Text(cell.strip()), justify="right" if columns[number].right else "left", no_wrap=True
        )
    for place, line in list(enumerate(lines))[shown or slice(None)]:
        of = styles[place] if place < len(styles) else {}
        found.add_row(*(Text(cell.strip(), style=of.get(number, "")) for number, cell in line))
    return found
