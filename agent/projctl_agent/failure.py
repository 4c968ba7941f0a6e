"""Why a project's service or socket failed, in one line, and when systemd starts it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from projctl_agent import exits
from projctl_agent.bus import SERVICE, SOCKET, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projctl_agent.bus import Bus

_WITH_REASON = frozenset({"crash", "oom", "start_timeout", "stop_timeout", "health"})
_REASONS = {"oom-kill": "oom", "timeout": "start_timeout", "success": "exit"}
_SOCKET_WORDS = {
    "trigger-limit-hit": "the server was started too often without taking a connection",
    "service-start-limit-hit": "the server was started too often",
    "resources": "systemd cannot listen there",
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
        parts = [f"socket: {_SOCKET_WORDS.get(failure.result, failure.result)}"]
        return ", ".join([*parts, *_outlook(failure, "opens again", now)])
    head = reason if reason in _WITH_REASON else _REASONS.get(failure.result, "crash")
    return ", ".join([f"{head}: {_detail(failure)}", *_outlook(failure, "next start", now)])


def _outlook(failure: Failure, what: str, now: float) -> Iterator[str]:
    if failure.next_start is not None:
        if failure.restarts:
            yield f"{failure.restarts + 1} times"
        yield f"{what} in {max(0.0, failure.next_start - now):.0f} s"


def _detail(failure: Failure) -> str:
    if failure.said:
        return failure.said
    if word := exits.RESULTS.get(failure.result):
        return word
    return exits.describe(failure.code, failure.status) if failure.code else failure.result
