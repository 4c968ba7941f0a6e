"""Why a project is in its state, in one sentence; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from projctl.listing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projctl.status import ProjectStatus

_ENDS = {
    "idle": "nobody used it",
    "max_runtime": "its maximum runtime was over",
    "manual": "it was stopped by hand",
    "exit": "it ended by itself",
}
#: What keeps a project up that nobody uses.
_KEEPERS = {"min_uptime": "its minimum uptime", "warm": "its warm hours"}
_USES = {
    "start": "its start",
    "bytes": "bytes on its sockets",
    "connections": "a connection",
    "queue": "a connection that waited",
    "cpu": "work in the background",
    "program": "a program of its own that held it",
    "hold": "a hold",
    "restart": "not known, the agent was away",
    "blind": "not known, it cannot be seen",
    "stop": "a stop that systemd refused",
}


def sentence(project: ProjectStatus, user: Callable[[int], str], clock: Callable[[float], str]) -> str:
    """`running: 1 connection, last byte 12 s ago; would stop at 14:31:10`, or what else it is in.

    `user` names a user by number, `clock` writes a moment.
    """
    if project.state in ("running", "frozen"):
        wakes = ["goes on at the first byte"] if project.state == "frozen" else []
        parts = [", ".join(_keeping(project, user, clock)), *wakes, _outlook(project, clock)]
    else:
        parts = [_resting(project)]
        if project.hold:
            parts.append(f"once it runs it is {_held(project.hold, user, clock)}")
    return f"{project.state}: {'; '.join(parts)}"


def _keeping(
    project: ProjectStatus, user: Callable[[int], str], clock: Callable[[float], str]
) -> Iterator[str]:
    """What counts as use now; where nothing does, since when."""
    signals = project.signals or {}
    found = [_held(project.hold, user, clock)] if project.hold else []
    if signals.get("program_held_seconds") == 0:
        found.append("held awake by a program of its own")
    if waiting := signals.get("waiting"):
        found.append(f"{_count(waiting)} waiting")
    if signals.get("connections"):
        found.append(connections(signals))
    if _is_busy(signals):
        found.append(f"busy with {signals['cpu_percent']:.0f} % of a CPU")
    yield from found
    if kept := _KEEPERS.get(project.reason or ""):
        yield f"kept up by {kept}"
    if not found and project.idle_seconds is not None:
        last = _USES.get(project.activity or "", project.activity)
        yield f"not used for {spaced(project.idle_seconds)} (last use: {last})"
    elif not found:
        yield "nothing is known of its use"


def _held(hold: dict[str, Any], user: Callable[[int], str], clock: Callable[[float], str]) -> str:
    until = hold.get("until")
    end = "it is released" if until is None else clock(until)
    return f"held awake by {user(hold['uid'])} until {end}"


def connections(signals: dict[str, Any]) -> str:
    """`2 connections, last byte 12 s ago`."""
    text = _count(signals["connections"])
    ages = [age for age in (signals.get("received_seconds"), signals.get("sent_seconds")) if age is not None]
    if not ages:
        return text
    limit = signals.get("hold_connections_seconds")
    silent = ", too silent to count" if limit is not None and min(ages) >= limit else ""
    return f"{text}, last byte {spaced(min(ages))} ago{silent}"


def _count(number: int) -> str:
    return f"{number} connection{'s' * (number != 1)}"


def _is_busy(signals: dict[str, Any]) -> bool:
    busy, cpu = signals.get("busy_cpu_percent"), signals.get("cpu_percent")
    return busy is not None and cpu is not None and cpu >= busy


def _outlook(project: ProjectStatus, clock: Callable[[float], str]) -> str:
    if project.would_stop_at is not None:
        return f"would stop at {clock(project.would_stop_at)}"
    if project.hold and project.hold.get("until") is None:
        return "does not stop before that"
    if project.signals is None:
        return "no agent tells when it stops"
    if project.signals.get("idle_stop_seconds") is None:
        return "never stops for being idle"
    return "does not stop while that lasts"


def _resting(project: ProjectStatus) -> str:
    reason = project.reason
    if project.state == "asleep":
        ended = _ENDS.get(reason or "", f"its last run ended: {reason}") if reason else "not started yet"
        return f"{ended}; the next connection starts it"
    if project.state == "down":
        return f"no socket of it listens; projctl up {project.name} opens them"
    if project.state == "failed":
        return f"{reason or 'systemd does not tell why'}; see projctl logs {project.name}"
    words = {
        "starting": "connections wait until it is ready",
        "stopping": "connections wait and start it again",
    }
    return reason or words.get(project.state, "nothing more is known")


def spaced(seconds: float) -> str:
    """A time span with spaces between numbers and units: `2 h 5 min`."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", span(seconds))
