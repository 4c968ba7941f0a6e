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
    "exit (ended by itself without an error) or lost (no entry tells: a power cut, a vacuumed journal)"
)
_MEMORY = (
    "Memory of the running project in bytes: memory.current of its control group, or without a memory "
    "controller the sum over its processes (PSS, or RSS where PSS cannot be read)."
)
_UP = frozenset({"running", "starting", "stopping"})


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
    running = [((name,), float(snapshot.states.get(name) in _UP)) for name in names]
    yield gauge("projctl_running", "Whether the project's server runs (1) or not (0).", running)
    yield gauge(
        "projctl_memory_bytes", _MEMORY, [((name,), size) for name, size in sorted(snapshot.memory.items())]
    )
