"""A scrape in which there is something of every metric."""

from __future__ import annotations

from projctl_agent.access.lines import Request
from projctl_agent.access.tally import Log, Moment
from projctl_agent.lifecycle import BUCKETS, Ledger, Totals
from projctl_agent.meters.meter import Meter
from projctl_agent.meters.project import Meters
from projctl_agent.metrics import Exposition, Running, Snapshot


def full_exposition() -> str:
    """The text of a scrape that shows all there is."""
    totals = Totals(starts=1, durations=[1] * (len(BUCKETS) + 1))
    meters = Meters(*(Meter(1.0, {"a": 1.0}) for _ in range(9)), peak=1)
    log = Log("projctl-shop.service", "json")
    log.tally.begin(Moment("a", "b", 1))
    log.tally.count(Request("200", 0.1), Moment("a", "b", 2))
    running = Running(uptime=1.0, idle=1.0, memory=1, connections=1, processes=1, threads=1)
    snapshot = Snapshot(
        Ledger({"shop": totals}), {"shop": "running"}, {"shop": running}, {"shop": meters}, {"shop": log}
    )
    return Exposition().render(snapshot, "text/plain")[0].decode()
