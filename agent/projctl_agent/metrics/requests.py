"""Metrics of requests, for projects whose access log is in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl_agent.metrics.family import counter, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from projctl_agent.metrics.snapshot import Snapshot

_FIRST = (
    "Seconds from the beginning of a start until its first request was in the access log, of starts "
    "where that took at most a minute."
)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Requests by status, what they took, and what the first one of each run had to wait."""
    tallies = [(name, log.tally) for name, log in sorted(snapshot.logs.items())]
    yield counter(
        "projctl_requests",
        "Answered requests by status: a known code, else its class such as 5xx.",
        [((name, code), count) for name, tally in tallies for code, count in sorted(tally.codes.items())],
        ("project", "code"),
    )
    text = "Seconds that requests took, where the access log tells."
    yield histogram(
        "projctl_request_duration_seconds", text, [(name, tally.durations) for name, tally in tallies]
    )
    yield histogram(
        "projctl_first_response_seconds", _FIRST, [(name, tally.firsts) for name, tally in tallies]
    )
