"""Tables on a terminal, by rich: colours only where the terminal has them, and never wider than it is."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from projctl.table import fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.table import Column


def show(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], styles: Sequence[Mapping[int, str]] = ()
) -> None:
    """Print the rows under their headings; `styles` are rich's, by row and number of the column."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size().columns
    heading, *lines = fit(columns, rows, width)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for number, cell in heading:
        grid.add_column(
            Text(cell.strip()), justify="right" if columns[number].right else "left", no_wrap=True
        )
    for place, line in enumerate(lines):
        of = styles[place] if place < len(styles) else {}
        grid.add_row(*(Text(cell.strip(), style=of.get(number, "")) for number, cell in line))
    # no-color.org: NO_COLOR is about bold and dim as well.
    plain = bool(os.environ.get("NO_COLOR"))
    Console(width=width, highlight=False, color_system=None if plain else "auto").print(grid)
