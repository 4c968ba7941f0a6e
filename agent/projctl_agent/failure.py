"""Why a project's service or socket failed, in one line, and when systemd starts it again."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from projctl_agent.bus import SERVICE, SOCKET, UNIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl_agent.bus import Bus

_EXITED, _DUMPED = 1, 3
_WITH_REASON = frozenset({"crash", "oom", "start_timeout", "stop_timeout"})
_REASONS = {"oom-kill": "oom", "timeout": "start_timeout"}
_WORDS = {
    "timeout": "not ready in time",
    "protocol": "ended before it was ready",
    "resources": "systemd lacks what it needs to start it",
    "watchdog": "gave no sign of life",
    "oom-kill": "out of memory",
}
_SOCKET_WORDS = {
    "trigger-limit-hit": "the server was started too often without taking a connection",
    "service-start-limit-hit": "the server was started too often",
    "resources": "systemd cannot listen there",
}
#: What systemd could not do before the program began (systemd.exec(5), "Process Exit Codes").
_EXIT_WORDS = {
    200: "cannot enter its directory",
    203: "cannot run its program",
    216: "cannot take on its group",
    217: "cannot take on its user",
    226: "cannot set up its sandbox",
}
_PROPERTIES = (
    (SERVICE, "Result"),
    (SERVICE, "ExecMainCode"),
    (SERVICE, "ExecMainStatus"),
    (SERVICE, "ExecStartPost"),
    (SERVICE, "StatusText"),
    (SERVICE, "NRestarts"),
    (UNIT, "SubState"),
    (UNIT, "StateChangeTimestampMonotonic"),
    (SERVICE, "RestartUSec"),
    (SERVICE, "RestartUSecNext"),  # from systemd 254 on
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What systemd knows of a failed unit, in its own terms; `next_start` in monotonic seconds.

    `said` is why the readiness probe failed, empty where that did not end the start; `socket` is whether the
    unit is a socket, of which systemd tells no more than a result.
    """

    result: str
    code: int
    status: int
    said: str
    restarts: int
    next_start: float | None
    socket: bool = False


async def read(bus: Bus, unit: str) -> Failure | None:
    """Ask systemd about a unit; None where it does not tell. Raises BusError."""
    if unit.endswith(".socket"):
        (result,) = await bus.properties((unit, SOCKET, "Result"))
        return None if result is None else Failure(result, 0, 0, "", 0, None, socket=True)
    values = await bus.properties(*((unit, *wanted) for wanted in _PROPERTIES))
    return None if values[0] is None else _failure(*values)


def _failure(
    result: str, code: int, status: int, probes: Sequence[Sequence[Any]], text: str, restarts: int,
    sub_state: str, changed: int, pause: int, next_pause: int | None,
) -> Failure:  # fmt: skip
    # Each command ends with the code and the status of its last run.
    probe_failed = any(probe[-2] and probe[-1] for probe in probes or ())
    waits = str(sub_state).startswith("auto-restart") and changed is not None
    due = changed + (pause if next_pause is None else next_pause) if waits else None
    return Failure(
        result=result,
        code=code or 0,
        status=status or 0,
        said=" ".join(text.split()) if probe_failed and text else "",
        restarts=restarts or 0,
        next_start=None if due is None else due / 1e6,
    )


def explain(failure: Failure, reason: str, now: float) -> str:
    """The failure in one line, headed by the reason that metrics count it by; `now` in monotonic seconds."""
    if failure.socket:
        return f"socket: {_SOCKET_WORDS.get(failure.result, failure.result)}"
    head = reason if reason in _WITH_REASON else _REASONS.get(failure.result, "crash")
    parts = [f"{head}: {_detail(failure)}"]
    if failure.next_start is not None:
        if failure.restarts:
            parts.append(f"{failure.restarts + 1} times")
        parts.append(f"next start in {max(0.0, failure.next_start - now):.0f} s")
    return ", ".join(parts)


def _detail(failure: Failure) -> str:
    if failure.said:
        return failure.said
    if word := _WORDS.get(failure.result):
        return word
    if not failure.code:
        return failure.result
    if failure.code == _EXITED:
        word = _EXIT_WORDS.get(failure.status)
        return f"{word} (exit status {failure.status})" if word else f"exit status {failure.status}"
    try:
        name = signal.Signals(failure.status).name
    except ValueError:
        name = f"signal {failure.status}"
    return f"killed by {name}" + (", core dumped" if failure.code == _DUMPED else "")
