"""Metrics of what projects use, and of what they leave unused while they sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl_agent.metrics.family import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from projctl_agent.metrics.snapshot import Snapshot

#: Name, help, field of Meters.
_COUNTERS = (
    ("projctl_cpu_seconds", "CPU time of the project's runs.", "cpu"),
    ("projctl_receive_bytes", "Bytes that came in through sockets that count as use.", "received"),
    ("projctl_transmit_bytes", "Bytes that went out through sockets that count as use.", "sent"),
    ("projctl_running_seconds", "Seconds in which the project's server was ready.", "running"),
    ("projctl_frozen_seconds", "Seconds in which its server was frozen, counted when it goes on.", "frozen"),
    ("projctl_asleep_seconds", "Seconds in which it listened and no server ran.", "asleep"),
    (
        "projctl_memory_saved_byte_seconds",
        "Seconds asleep times the memory that its runs had on average: what a server that always runs takes more.",
        "saved",
    ),
)
_MEMORY = (
    "Memory of the running project in bytes: memory.current of its control group, or without a memory "
    "controller the sum over its processes (PSS, or RSS where PSS cannot be read)."
)
#: Name, help, field of Running.
_GAUGES = (
    ("projctl_uptime_seconds", "Seconds since the running server was ready.", "uptime"),
    ("projctl_idle_seconds", "Seconds since the running project was last used.", "idle"),
    ("projctl_memory_bytes", _MEMORY, "memory"),
    ("projctl_connections", "Established connections of the running project.", "connections"),
    ("projctl_processes", "Processes of the running project.", "processes"),
    ("projctl_threads", "Threads of the running project, in all its processes.", "threads"),
)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """What runs used so far, and what those that run use now."""
    meters, running = sorted(snapshot.meters.items()), sorted(snapshot.running.items())
    for name, text, field in _COUNTERS:
        counted = [(project, getattr(of, field)) for project, of in meters]
        yield counter(name, text, [((project,), meter.total) for project, meter in counted if meter.seen])
    for name, text, field in _GAUGES:
        found = [(project, getattr(of, field)) for project, of in running]
        yield gauge(name, text, [((project,), value) for project, value in found if value is not None])
    text = "The most memory in bytes that the current run, or else the last one, had at a time."
    yield gauge("projctl_memory_peak_bytes", text, [((name,), of.peak) for name, of in meters if of.peak])
