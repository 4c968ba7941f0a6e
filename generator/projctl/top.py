"""What `projctl top` shows and how keys change that; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from projctl import listing
from projctl.table import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.status import ProjectStatus

COLUMNS = tuple(
    Column("CPU%", right=True, rank=1) if column.heading == "CPU" else column for column in listing.COLUMNS
)
_CPU = [column.heading for column in COLUMNS].index("CPU%")
#: From what asks for attention to what does not.
_STATES = ("failed", "starting", "stopping", "running", "frozen", "asleep", "down")
#: What each key sorts by.
SORTS = {
    "n": "name",
    "s": "state",
    "c": "CPU",
    "m": "memory",
    "u": "uptime",
    "i": "idle",
}
HELP = "sort: n)ame s)tate c)pu m)emory u)ptime i)dle  r)everse  /filter  p)ause  q)uit"
_SEQUENCES = {
    "[A": "up", "OA": "up", "[B": "down", "OB": "down", "[5~": "page-up", "[6~": "page-down",
    "[H": "home", "OH": "home", "[1~": "home", "[F": "end", "OF": "end", "[4~": "end",
}  # fmt: skip
_PLAIN = {"\r": "enter", "\n": "enter", "\x7f": "delete", "\b": "delete", "\x1b": "escape"}
_MOVES = {"k": "up", "j": "down", " ": "page-down", "b": "page-up", "g": "home", "G": "end"}
_KEY = re.compile(r"\x1b(?P<sequence>\[[0-9;]*[A-Za-z~]|O[A-Za-z])|(?P<plain>.)", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One server and the share of one CPU it used since the last look; None where that is not known."""

    project: ProjectStatus
    share: float | None


@dataclass(frozen=True)
class View:
    """What the user chose to see; `first` is the number of the first line shown. `done`: nothing more."""

    sort: str = "c"
    reverse: bool = False
    wanted: str = ""
    typing: bool = False
    paused: bool = False
    first: int = 0
    done: bool = False


def measure(before: Sequence[ProjectStatus], after: Sequence[ProjectStatus], seconds: float) -> list[Line]:
    """The lines of `after`, with the share of CPU that each run used in the seconds between."""
    known = {project.name: project for project in before}
    return [Line(project, _share(known.get(project.name), project, seconds)) for project in after]


def _share(before: ProjectStatus | None, after: ProjectStatus, seconds: float) -> float | None:
    if before is None or before.cpu_seconds is None or after.cpu_seconds is None or before.pid != after.pid:
        return None
    return max(0.0, after.cpu_seconds - before.cpu_seconds) / seconds if seconds > 0 else None


def row(line: Line) -> tuple[str, ...]:
    """The cells of one line."""
    cells = list(listing.row(line.project))
    cells[_CPU] = "-" if line.share is None else f"{line.share * 100:.1f}"
    return tuple(cells)


def arrange(lines: Sequence[Line], view: View) -> list[Line]:
    """The lines that the filter lets through, in order; what has no figure comes last either way."""
    shown = [line for line in lines if view.wanted.lower() in _searched(line)]
    known = [line for line in shown if _figure(line, view.sort) is not None]
    rest = [line for line in shown if _figure(line, view.sort) is None]
    descending = (view.sort in "cmui") != view.reverse
    return sorted(known, key=lambda line: _figure(line, view.sort) or 0, reverse=descending) + rest


def _searched(line: Line) -> str:
    return f"{line.project.name} {line.project.state} {' '.join(map(listing.port, line.project.sockets))}".lower()


def _figure(line: Line, key: str) -> float | tuple[str, int] | None:
    """What a line is sorted by."""
    project = line.project
    name, _, number = project.name.partition("@")
    figures: Mapping[str, float | tuple[str, int] | None] = {
        "n": (name, int(number or 0)),
        "s": _STATES.index(project.state) if project.state in _STATES else 0,
        "c": line.share,
        "m": project.memory_bytes,
        "u": project.uptime_seconds,
        "i": project.idle_seconds,
    }
    return figures[key]


def keys(text: str) -> list[str]:
    """What was pressed: characters, and names such as `page-down`; unknown sequences are nothing."""
    found = []
    for match in _KEY.finditer(text):
        if sequence := match["sequence"]:
            found.append(_SEQUENCES.get(sequence, ""))
        else:
            found.append(_PLAIN.get(match["plain"], match["plain"]))
    return [key for key in found if key]


def press(view: View, key: str, page: int, count: int) -> View:
    """The view after a key; `page` lines fit, `count` there are."""
    if view.typing:
        return _type(view, key)
    if key in SORTS:
        return replace(view, sort=key, first=0)
    changed = {
        "r": replace(view, reverse=not view.reverse, first=0),
        "p": replace(view, paused=not view.paused),
        "/": replace(view, typing=True),
        "escape": replace(view, wanted="", first=0),
        "q": replace(view, done=True),
    }
    return changed[key] if key in changed else _move(view, _MOVES.get(key, key), page, count)


def _type(view: View, key: str) -> View:
    """A key of the filter that is being typed."""
    if key == "enter":
        return replace(view, typing=False)
    if key == "escape":
        return replace(view, typing=False, wanted="", first=0)
    if key == "delete":
        return replace(view, wanted=view.wanted[:-1], first=0)
    return replace(view, wanted=view.wanted + key, first=0) if len(key) == 1 and key.isprintable() else view


def _move(view: View, key: str, page: int, count: int) -> View:
    steps = {"up": -1, "down": 1, "page-up": -page, "page-down": page, "home": -count, "end": count}
    return clamp(replace(view, first=view.first + steps.get(key, 0)), page, count)


def clamp(view: View, page: int, count: int) -> View:
    """The view with its first line such that the page is full where there is enough to show."""
    return replace(view, first=max(0, min(view.first, count - page)))


def summary(lines: Sequence[Line]) -> str:
    """How many there are in which state, and what all of them use together."""
    states = [line.project.state for line in lines]
    counts = [f"{states.count(state)} {state}" for state in _STATES if state in states]
    share = sum(line.share or 0.0 for line in lines)
    memory = sum(line.project.memory_bytes or 0 for line in lines)
    figures = f"CPU {share * 100:.1f}%, memory {listing.size(memory)}"
    return f"{listing.plural(len(lines), 'server')}: {', '.join(counts) or 'none'}; {figures}"


def position(view: View, page: int, shown: int) -> str:
    """What the table shows, and of how much."""
    order = f"by {SORTS[view.sort]}{', reversed' if view.reverse else ''}"
    last = min(view.first + page, shown)
    part = f"{min(view.first + 1, last)}-{last} of {shown}, {order}"
    wanted = f"  filter: {view.wanted}{'_' if view.typing else ''}" if view.wanted or view.typing else ""
    return f"{part}{wanted}{'  paused' if view.paused else ''}"
