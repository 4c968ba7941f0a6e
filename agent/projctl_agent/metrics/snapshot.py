"""What a scrape shows, of one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl_agent.buckets import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projctl_agent.access.tally import Log
    from projctl_agent.lifecycle import Ledger
    from projctl_agent.meters.project import Meters


@dataclass(frozen=True, slots=True)
class Running:
    """What a project that runs is doing; seconds and bytes, None where it is not known."""

    uptime: float
    idle: float | None
    memory: int | None
    connections: int | None
    processes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """By instance: totals from the journal, states, those that run, meters, access logs; and how late the loop was."""

    ledger: Ledger
    states: Mapping[str, str]
    running: Mapping[str, Running]
    meters: Mapping[str, Meters] = field(default_factory=dict)
    logs: Mapping[str, Log] = field(default_factory=dict)
    lag: Histogram = field(default_factory=lambda: Histogram((1.0,)))
