"""Families of samples by project, as the library wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from projctl_agent.buckets import Histogram

#: Label values and the value.
Sample = tuple[tuple[str, ...], float]
_PROJECT = ("project",)


def counter(name: str, text: str, samples: Iterable[Sample], labels: Sequence[str] = _PROJECT) -> Metric:
    """A counter; the text form adds `_total` to its name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def gauge(name: str, text: str, samples: Iterable[Sample], labels: Sequence[str] = _PROJECT) -> Metric:
    """A gauge."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def histogram(name: str, text: str, samples: Iterable[tuple[str, Histogram]]) -> Metric:
    """Histograms by project; those without a value are left out."""
    family = HistogramMetricFamily(name, text, labels=_PROJECT)
    for project, values in samples:
        if any(values.counts):
            family.add_metric([project], list(_cumulative(values)), values.sum)
    return family


def lone_histogram(name: str, text: str, values: Histogram) -> Metric:
    """A histogram without labels."""
    family = HistogramMetricFamily(name, text)
    family.add_metric([], list(_cumulative(values)), values.sum)
    return family


def _cumulative(values: Histogram) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, values.bounds), "+Inf"), values.counts, strict=True):
        total += count
        yield bound, total
