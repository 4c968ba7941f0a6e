"""What is counted, as text for Prometheus; only a scrape imports this, since its library takes 10 MB."""

from projctl_agent.metrics.exposition import Exposition, form
from projctl_agent.metrics.snapshot import Running, Snapshot

__all__ = ["Exposition", "Running", "Snapshot", "form"]
