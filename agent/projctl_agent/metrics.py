"""The metrics, made anew at each scrape out of the ledger and what runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from projctl_agent import __version__
from projctl_agent.lifecycle import BUCKETS, Ledger, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric

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

_OPEN = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a scrape shows: totals from the journal, states by project, memory of those that run in bytes."""

    ledger: Ledger
    states: dict[str, str]
    memory: dict[str, int]


class _Projects(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from families(self._snapshot())


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """The metric families of a snapshot, projects in order of their names."""
    build = GaugeMetricFamily("projctl_build_info", "The version of projctl-agent.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build
    known = snapshot.ledger.projects
    names = sorted(known.keys() | snapshot.states.keys())
    totals = [(name, known.get(name) or Totals()) for name in names]
    yield _starts(totals)
    yield _stops(totals)
    yield _durations(totals)
    running = GaugeMetricFamily(
        "projctl_running", "Whether the project's server runs (1) or not (0).", labels=["project"]
    )
    for name in names:
        running.add_metric([name], float(snapshot.states.get(name) in {"running", "starting", "stopping"}))
    yield running
    memory = GaugeMetricFamily("projctl_memory_bytes", _MEMORY, labels=["project"])
    for name, size in sorted(snapshot.memory.items()):
        memory.add_metric([name], size)
    yield memory


def _starts(totals: list[tuple[str, Totals]]) -> Metric:
    family = CounterMetricFamily(
        "projctl_starts", "Runs that began, also those that failed.", labels=["project"]
    )
    for name, of in totals:
        family.add_metric([name], of.starts)
    return family


def _stops(totals: list[tuple[str, Totals]]) -> Metric:
    family = CounterMetricFamily(
        "projctl_stops", f"Runs that ended, by reason: {_ENDS}.", labels=["project", "reason"]
    )
    for name, of in totals:
        for reason in dict.fromkeys((*REASONS, *sorted(of.stops))):
            family.add_metric([name, reason], of.stops.get(reason, 0))
    return family


def _durations(totals: list[tuple[str, Totals]]) -> Metric:
    text = "Seconds from the beginning of a start until systemd held it for done."
    family = HistogramMetricFamily("projctl_start_duration_seconds", text, labels=["project"])
    for name, of in totals:
        if any(of.durations):
            family.add_metric([name], list(_cumulative(of.durations)), of.duration_sum)
    return family


def _cumulative(counts: list[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        yield bound, total


class Exposition:
    """Metrics as text, in the form that a scraper asks for."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Projects(snapshot))
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Text and its content type: OpenMetrics where the Accept header asks for it."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


def form(accept: str) -> str:
    """The Accept header that stands for all that are answered alike: there are two forms of text."""
    return _OPEN if choose_encoder(accept)[1].startswith(_OPEN) else ""
