"""What `projctl list`, `projctl status` and `projctl why` are told of each project."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from projctl_agent import cgroup, failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl_agent.failure import Failure
    from projctl_agent.holds import Hold
    from projctl_agent.idle import Decision
    from projctl_agent.lifecycle import Totals
    from projctl_agent.watch import Glance, Watch


def describe(
    state: str | None,
    totals: Totals | None,
    watch: Watch | None,
    failed: Failure | None,
    now: float,
    hold: Hold | None = None,
    glance: Glance | None = None,
    left_over: Sequence[str] = (),
) -> dict[str, Any]:
    """One instance; `now` in monotonic seconds, `would_stop_at` in seconds since 1970, None: not known.

    With a `glance` it is what this look tells, with all signals; otherwise what the last one told.
    """
    seen = glance or watch
    track, decision = (seen.track, seen.decision) if seen else (None, None)
    due = decision.would_stop_at if decision else None
    ended = totals.last_reason if totals else ""
    state = actual(state, ended)
    return {
        "state": state,
        "idle_seconds": None if track is None else round(max(0.0, now - track.last_use), 3),
        "activity": None if track is None else track.last_reason,
        "memory_bytes": cgroup.memory_bytes(watch.target.control_group) if watch else None,
        "starts": totals.starts if totals else 0,
        "reason": _reason(state, ended, decision, failed, now),
        "would_stop_at": None if due is None else round(time.time() + due - now, 3),
        "hold": hold and {"uid": hold.uid, "since": hold.since, "until": hold.until},
        "signals": glance and _signals(glance),
        "left_over": list(left_over),
    }


def _signals(glance: Glance) -> dict[str, Any]:
    """What each sign of use says now, and the policy it is held against; times in seconds, None: never, not known."""
    policy, now, counters = glance.policy, glance.now, glance.counters
    rate, held = glance.track.cpu_share, now.program_held
    return {
        "bytes_in": counters and counters.received,
        "bytes_out": counters and counters.sent,
        "connections": None if now.connections is None else len(now.connections),
        "received_seconds": now.received,
        "sent_seconds": now.sent,
        "waiting": now.queue,
        "cpu_percent": None if rate is None else round(100 * rate, 3),
        "program_held_seconds": None if held is None else round(max(0.0, now.taken - held), 3),
        "idle_stop_seconds": policy.idle_stop,
        "min_uptime_seconds": policy.min_uptime,
        "hold_connections_seconds": policy.hold_connections,
        "busy_cpu_percent": None if policy.busy_share is None else round(100 * policy.busy_share, 3),
    }


def actual(state: str | None, ended: str) -> str | None:
    """The state of an instance whose last run ended for this reason."""
    # systemd calls it failed, but the next connection starts it.
    return "asleep" if state == "failed" and ended == "max_runtime" else state


def _reason(
    state: str | None, ended: str, decision: Decision | None, failed: Failure | None, now: float
) -> str | None:
    """Why it does not run, or runs although nobody uses it; None where nothing asks for a reason."""
    if state in {"asleep", "down", None}:
        return ended or None
    if state == "failed":
        return failure.explain(failed, ended, now) if failed else ended or None
    return decision.held if decision and state == "running" else None
