"""The verb that shows all projects live: top."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING

import click

from projctl import listing, status, systemctl
from projctl import top as top_
from projctl.cli import options, screen, tables
from projctl.diagnostics import ProjctlError, one_line
from projctl.scope import Scope

if TYPE_CHECKING:
    from rich.console import Group

    from projctl.status import ProjectStatus

#: Lines beside those of servers: summary, position, heading, help.
_FRAME = 4
#: Seconds between the two looks of `--once`: without a second one there is no share of CPU.
_ONCE = 0.5


@click.command(epilog="\b\nExamples:\n  projctl top\n  projctl top --delay 0.5\n  projctl top --once")
@options.user
@options.remote
@click.option(
    "-d", "--delay", type=click.FloatRange(min=0.1, max=3600), default=2.0, show_default=True, metavar="SECONDS",
    help="Time between two looks.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Print one table and end, as without a terminal.")
def top(user: bool, host: str | None, machine: str | None, delay: float, once: bool) -> None:
    """Show all projects live, to sort and to filter by keys."""
    scope = Scope(user, host, machine)
    systemctl.require(scope)
    if once or not screen.is_terminal():
        _print_once(scope)
    else:
        _Live(scope, delay).run()


def _print_once(scope: Scope) -> None:
    before, began = status.collect(scope), time.monotonic()
    time.sleep(_ONCE)
    lines = top_.measure(before, status.collect(scope), time.monotonic() - began)
    shown = top_.arrange(lines, top_.View(sort="n"))
    styles = [{listing.STATE: tables.style_of(line.project.state)} for line in shown]
    tables.show(top_.COLUMNS, [top_.row(line) for line in shown], styles)


class _Live:
    """The live table: one thread looks, this one draws and takes keys."""

    def __init__(self, scope: Scope, delay: float) -> None:
        self._scope, self._delay = scope, delay
        self._bell = screen.Bell()
        self._stop = threading.Event()
        self._latest: list[top_.Line] = []
        self._complaint = ""
        self._failure: Exception | None = None
        self._lines: list[top_.Line] = []
        self._view = top_.View()

    def run(self) -> None:
        """Show until somebody quits; the terminal is then as it was before."""
        from rich.live import Live

        looking = threading.Thread(target=self._look, daemon=True)
        with screen.ended_by_signals(), screen.keyboard() as keyboard:
            try:
                with Live(console=tables.console(), screen=True, auto_refresh=False) as live:
                    looking.start()
                    while not self._view.done:
                        live.update(self._draw(), refresh=True)
                        self._take(self._bell.pressed(keyboard))
            except EOFError:
                pass
            finally:
                self._stop.set()

    def _look(self) -> None:
        """Ask again and again; one question at a time, however long its answer takes."""
        before: list[ProjectStatus] = []
        asked = time.monotonic()
        while not self._stop.is_set():
            moment = time.monotonic()
            try:
                found = status.collect(self._scope)
                self._latest, self._complaint = top_.measure(before, found, moment - asked), ""
                before, asked = found, moment
            except (ProjctlError, OSError) as error:
                self._complaint = one_line(str(error))
            except Exception as error:
                self._failure = error
                self._stop.set()
            self._bell.ring()
            self._stop.wait(self._delay)

    def _take(self, typed: str) -> None:
        if self._failure:
            raise self._failure
        page, count = self._page(), len(top_.arrange(self._lines, self._view))
        for key in top_.keys(typed):
            self._view = top_.press(self._view, key, page, count)

    def _page(self) -> int:
        return max(1, shutil.get_terminal_size().lines - _FRAME)

    def _draw(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        if not self._view.paused:
            self._lines = self._latest
        shown, page = top_.arrange(self._lines, self._view), self._page()
        self._view = view = top_.clamp(self._view, page, len(shown))
        styles = [{listing.STATE: tables.style_of(line.project.state)} for line in shown]
        table = tables.grid(
            top_.COLUMNS, [top_.row(line) for line in shown], styles, slice(view.first, view.first + page)
        )
        head = Text(self._complaint or top_.summary(self._lines), "red" if self._complaint else "bold")
        lines = (head, Text(top_.position(view, page, len(shown))), table, Text(top_.HELP, "dim"))
        for line in lines:
            if isinstance(line, Text):
                line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)
