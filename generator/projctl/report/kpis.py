"""The figures of the whole fleet beside their targets; pure. What nothing recorded tells is None, never 0 or 100 %."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from projctl.report.requests import percentile as percentile_of_requests
from projctl.report.spans import percentile, total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projctl.report.history import Run
    from projctl.report.servers import Server

Unit = Literal["share", "seconds", "gib_hours", "count"]
GIB_HOUR = float(1 << 30) * 3600
#: Ends of a run that somebody ordered, so that a start right after it makes both a restart.
_ORDERED = frozenset({"manual", "apply", "override", "stop_timeout"})
#: Seconds from the end of a run to the next start that still make a restart.
_AT_ONCE = 5.0
#: What only the agent tells of: one such event shows that it was at work.
_OF_AGENT = frozenset({"frozen", "thawed", "rearmed", "warm", "hold", "release", "leak"})
_CLOSINGS = frozenset({"down", "rearmed"})


@dataclass(frozen=True)
class Kpi:
    """One figure. `met` is None where there is no target or no figure; `note` says what it stands on."""

    key: str
    title: str
    unit: Unit
    value: float | None
    note: str
    target: str = ""
    met: bool | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)


def compute(servers: Sequence[Server], installed: int) -> list[Kpi]:
    """All of them; `installed` is the number of projects that have units now."""
    return [
        *_memory(servers), _active(servers, installed), _cold(servers), _requests(servers), _availability(servers),
        _failed(servers), _cleanup(servers), _leaks(servers), _restarts(servers),
    ]  # fmt: skip


def _judged(value: float | None, met: Callable[[float], bool]) -> bool | None:
    return None if value is None else met(value)


def _memory(servers: Sequence[Server]) -> list[Kpi]:
    known = [server for server in servers if server.always_on]
    always, used = (math.fsum(getattr(s, name) for s in known) / GIB_HOUR for name in ("always_on", "used"))
    saved = always - used if known else None
    share = saved / always if saved is not None else None
    note = f"against always-on; {len(known)} of {_number(len(servers), 'server')} with a memory figure"
    parts = {"always_on_gib_hours": always if known else None, "used_gib_hours": used if known else None}
    return [
        Kpi("memory_saved", "Memory saved", "gib_hours", saved, note, parts=parts),
        Kpi(
            "memory_saved_share", "Share of memory saved", "share", share, note,
            "at least 70 %", _judged(share, lambda value: value >= 0.7),
        ),
    ]  # fmt: skip


def _active(servers: Sequence[Server], installed: int) -> Kpi:
    active = {server.project for server in servers if server.runs and server.settings is not None}
    note = f"{len(active)} of {_number(installed, 'installed project')} ran"
    share = len(active) / installed if installed else None
    parts = {"active": float(len(active)), "total": float(installed)}
    return Kpi("active_projects", "Active projects", "share", share, note, parts=parts)


def _cold(servers: Sequence[Server]) -> Kpi:
    seconds = [value for server in servers for value in server.cold]
    p95 = percentile(seconds, 0.95)
    parts = {"p50": percentile(seconds, 0.5), "p95": p95, "max": max(seconds, default=None)}
    note = f"{_number(len(seconds), 'start')}, from its beginning until the server was ready"
    met = _judged(p95, lambda value: value < 5)
    return Kpi("cold_start", "Cold start, p95", "seconds", p95, note, "below 5 s", met, parts)


def _requests(servers: Sequence[Server]) -> Kpi:
    logs = [server.requests for server in servers if server.requests and server.requests.seconds]
    p95 = percentile_of_requests(logs, 0.95)
    timed = sum(count for log in logs for _, count in log.seconds)
    note = f"{_number(timed, 'request')} in the access logs of {_number(len(logs), 'server')}"
    note = note if logs else "no access log in the journal tells how long requests take"
    met = _judged(p95, lambda value: value <= 0.1)
    parts = {"requests": float(timed) if logs else None, "p50": percentile_of_requests(logs, 0.5)}
    return Kpi("request_p95", "Request, p95", "seconds", p95, note, "at most 100 ms", met, parts)


def _availability(servers: Sequence[Server]) -> Kpi:
    seen = [server for server in servers if server.runs and server.lived]
    lived = math.fsum(total(server.lived) for server in seen)
    out = math.fsum(total(server.outages) for server in seen)
    value = 1 - out / lived if lived else None
    note = f"{_number(len(seen), 'server')} that ran; asleep counts as available, taken down not at all"
    met = _judged(value, lambda share: share > 0.999)
    parts = {"unavailable_seconds": out if lived else None}
    return Kpi("availability", "Availability", "share", value, note, "above 99.9 %", met, parts)


def _failed(servers: Sequence[Server]) -> Kpi:
    settled = [run for server in servers for run in server.starts if run.ready or run.ended]
    failed = sum(run.failed_to_start for run in settled)
    value = failed / len(settled) if settled else None
    note = f"{failed} of {_number(len(settled), 'start')} ended before the server was ready"
    met = _judged(value, lambda share: share < 0.01)
    parts = {"failed": float(failed), "starts": float(len(settled))}
    return Kpi("failed_starts", "Failed starts", "share", value, note, "below 1 %", met, parts)


def _cleanup(servers: Sequence[Server]) -> Kpi:
    verdicts = [verdict for server in servers for verdict in _stopped_in_time(server)]
    value = sum(verdicts) / len(verdicts) if verdicts else None
    note = (
        f"{sum(verdicts)} of {_number(len(verdicts), 'idle server')}, at most a tenth of the idle time late"
    )
    note = note if verdicts else "no server was due to be stopped whose idle time is known"
    met = _judged(value, lambda share: share > 0.95)
    parts = {"in_time": float(sum(verdicts)), "due": float(len(verdicts))}
    return Kpi("cleanup", "Idle, stopped in time", "share", value, note, "above 95 %", met, parts)


def _stopped_in_time(server: Server) -> list[bool]:
    """Of each run that the agent stopped, or that was idle for too long whatever ended it: whether it was in time."""
    told = [
        (run.idle_stop, run.figures.get("idle_seconds"), run.figures.get("uptime_seconds"))
        for run in server.runs
    ]
    if server.live:
        told.append((False, server.live.idle, server.window.end - server.live.began))
    found = []
    for stopped, idle, uptime in told:
        late = lateness(server, idle, uptime)
        if late is not None and (stopped or late > 0):
            found.append(late <= 0)
    return found


def lateness(server: Server, idle: float | None, uptime: float | None) -> float | None:
    """Seconds from when an idle server had to be stopped at the latest; None where that cannot be told.

    That is a tenth of its idle time, at least 5 s, after it was due.
    """
    settings = server.settings
    if idle is None or settings is None or settings.idle_stop is None:
        return None
    late = idle - settings.idle_stop
    if uptime is not None:
        late = min(late, uptime - (settings.min_uptime or 0))
    return late - max(5.0, settings.idle_stop / 10)


def _leaks(servers: Sequence[Server]) -> Kpi:
    watched = any(_was_watched(server) for server in servers)
    value = float(sum(server.history.count("leak") for server in servers)) if watched else None
    note = "runs that left something behind" if watched else "nothing shows that an agent was at work"
    return Kpi("leaks", "Leaks", "count", value, note, "none", _judged(value, lambda count: count == 0))


def _was_watched(server: Server) -> bool:
    """Whether the agent told of the server: no word of a leak means little where it did not run."""
    told = any(run.idle_stop or "memory_bytes" in run.figures for run in server.runs)
    return told or any(kind in _OF_AGENT for _, kind in server.history.marks)


def restarts(server: Server) -> list[bool]:
    """Of each restart that somebody ordered and that is over: whether nothing recorded speaks against it.

    That is: the old run ended by itself when asked, the socket never closed, and the new run became ready.
    """
    found = []
    for old, new in server.successions:
        if _is_restart(old, new) and (new.ready or new.ended):
            closed = any(
                kind in _CLOSINGS
                and (old.stopping or old.ended or 0) <= time <= (new.ready or new.ended or 0)
                for time, kind in server.history.marks
            )
            found.append(old.reason != "stop_timeout" and new.ready is not None and not closed)
    return found


def _is_restart(old: Run, new: Run) -> bool:
    if old.reason not in _ORDERED or old.ended is None or new.began is None:
        return False
    return new.began - old.ended <= _AT_ONCE


def _restarts(servers: Sequence[Server]) -> Kpi:
    verdicts = [verdict for server in servers for verdict in restarts(server)]
    value = sum(verdicts) / len(verdicts) if verdicts else None
    note = (
        f"{sum(verdicts)} of {_number(len(verdicts), 'restart')}: socket open throughout, clean stop, next start "
        "good; requests themselves are not recorded"
        if verdicts
        else "nobody ordered a restart"
    )
    parts = {"smooth": float(sum(verdicts)), "restarts": float(len(verdicts))}
    return Kpi("restarts", "Restarts without a gap", "share", value, note, parts=parts)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
