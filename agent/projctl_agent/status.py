"""What `projctl list` and `projctl status` are told about each instance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from projctl_agent import cgroup, failure

if TYPE_CHECKING:
    from projctl_agent.failure import Failure
    from projctl_agent.lifecycle import Totals
    from projctl_agent.watch import Watch


def describe(
    state: str | None, totals: Totals | None, watch: Watch | None, failed: Failure | None, now: float
) -> dict[str, Any]:
    """One instance; `now` in monotonic seconds, `would_stop_at` in seconds since 1970, None: not known."""
    track = watch.track if watch else None
    decision = watch.decision if watch else None
    due = decision.would_stop_at if decision else None
    ended = totals.last_reason if totals else ""
    state = actual(state, ended)
    return {
        "state": state,
        "idle_seconds": None if track is None else round(max(0.0, now - track.last_use), 3),
        "activity": None if track is None else track.last_reason,
        "memory_bytes": cgroup.memory_bytes(watch.target.control_group) if watch else None,
        "starts": totals.starts if totals else 0,
        "reason": _reason(state, ended, watch, failed, now),
        "would_stop_at": None if due is None else round(time.time() + due - now, 3),
    }


def actual(state: str | None, ended: str) -> str | None:
    """The state of an instance whose last run ended for this reason."""
    # systemd calls it failed, but the next connection starts it.
    return "asleep" if state == "failed" and ended == "max_runtime" else state


def _reason(
    state: str | None, ended: str, watch: Watch | None, failed: Failure | None, now: float
) -> str | None:
    """Why it does not run, or runs although nobody uses it; None where nothing asks for a reason."""
    if state in {"asleep", "down", None}:
        return ended or None
    if state == "failed":
        return failure.explain(failed, ended, now) if failed else ended or None
    return watch.decision.held if watch and watch.decision and state == "running" else None
