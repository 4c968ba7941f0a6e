"""The metrics as text, made anew at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from projctl_agent import __version__
from projctl_agent.metrics import lifecycle, requests, usage
from projctl_agent.metrics.family import gauge, lone_histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from projctl_agent.metrics.snapshot import Snapshot

_LAG = "How much later than wanted the agent's event loop woke up, measured at its looks at what runs."
_OPEN = "application/openmetrics-text"


class _Projects(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        text = "The version of projctl-agent."
        yield gauge("projctl_build_info", text, [((__version__,), 1)], ("version",))
        for families in (lifecycle.families, usage.families, requests.families):
            yield from families(self._snapshot)
        yield lone_histogram("projctl_agent_loop_lag_seconds", _LAG, self._snapshot.lag)


class Exposition:
    """Metrics as text, in the form that a scraper asks for."""

    def __init__(self) -> None:
        self._process = ProcessCollector(namespace="projctl_agent", registry=None)

    def render(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        """Text and its content type: OpenMetrics where the Accept header asks for it."""
        registry = CollectorRegistry(auto_describe=False)
        for collector in (_Projects(snapshot), self._process):
            registry.register(collector)
        encoder, content_type = choose_encoder(accept)
        return encoder(registry), content_type


def form(accept: str) -> str:
    """The Accept header that stands for all that are answered alike: there are two forms of text."""
    return _OPEN if choose_encoder(accept)[1].startswith(_OPEN) else ""
