"""What a scrape shows, of one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projctl_agent.access.tally import Log
    from projctl_agent.lifecycle import Ledger


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Totals from the journal, states by instance, memory of those that run in bytes, their access logs."""

    ledger: Ledger
    states: Mapping[str, str]
    memory: Mapping[str, int]
    logs: Mapping[str, Log] = field(default_factory=dict)
