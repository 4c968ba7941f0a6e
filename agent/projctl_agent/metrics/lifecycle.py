"""Metrics of starts, stops and states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl_agent.buckets import Histogram
from projctl_agent.lifecycle import BUCKETS, Totals
from projctl_agent.metrics.family import counter, gauge, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from projctl_agent.metrics.snapshot import Snapshot

#: Reasons that every project shows from the beginning, so that rates know their zero.
REASONS = ("idle", "max_runtime", "crash", "oom", "manual", "start_timeout", "health")
_ENDS = (
    "idle, max_runtime, crash, oom, start_timeout, stop_timeout, health (its readiness probe failed), "
    "manual (somebody stopped it), apply, override (apply or other ports needed it), "
    "exit (ended by itself without an error) or lost (no entry tells: a power cut, a vacuumed or restarted journal)"
)
#: States in which there is a server.
_UP = frozenset({"running", "starting", "stopping", "frozen"})
#: Name, help, field of Totals.
_COUNTS = (
    ("projctl_failed_starts", "Runs that went wrong before they were ready.", "failed_starts"),
    (
        "projctl_rearmed_sockets",
        "Sockets that start their server again: after pauses, or given up before.",
        "rearmed",
    ),
    ("projctl_leaks", "Runs that left something behind.", "leaks"),
    (
        "projctl_suppressed_lines",
        "Lines of the project that journald threw away: its logs have holes.",
        "suppressed",
    ),
)
_STATES = {
    "frozen": "Whether the server is frozen (1) or not (0).",
    "failed": "Whether the project cannot be started or waits before it is tried again (1) or not (0).",
    "down": "Whether the project's sockets are closed (1) or not (0).",
}


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """What the journal tells of runs, and what runs now."""
    known = snapshot.ledger.projects
    names = sorted(known.keys() | snapshot.states.keys())
    totals = [(name, known.get(name) or Totals()) for name in names]
    yield counter(
        "projctl_starts",
        "Runs that began, also those that failed.",
        [((name,), of.starts) for name, of in totals],
    )
    stops = [
        ((name, reason), of.stops.get(reason, 0))
        for name, of in totals
        for reason in dict.fromkeys((*REASONS, *sorted(of.stops)))
    ]
    yield counter("projctl_stops", f"Runs that ended, by reason: {_ENDS}.", stops, ("project", "reason"))
    text = "Seconds from the beginning of a start until systemd held it for done."
    durations = [(name, Histogram(BUCKETS, of.durations, of.duration_sum)) for name, of in totals]
    yield histogram("projctl_start_duration_seconds", text, durations)
    for name, text, field in _COUNTS:
        yield counter(name, text, [((project,), getattr(of, field)) for project, of in totals])
    states = [(name, snapshot.states.get(name)) for name in names]
    up = [((name,), float(state in _UP)) for name, state in states]
    yield gauge("projctl_running", "Whether there is a server (1), frozen or not, or none (0).", up)
    for state in ("frozen", "failed", "down"):
        found = [((name,), float(now == state)) for name, now in states]
        yield gauge(f"projctl_{state}", _STATES[state], found)
