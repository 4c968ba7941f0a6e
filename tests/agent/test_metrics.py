"""The text of /metrics, read back by a parser that is not ours."""

from __future__ import annotations

import pytest
from prometheus_client import openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from projctl_agent.entry import Entry, Kind
from projctl_agent.lifecycle import Ledger
from projctl_agent.meters.meter import Meter
from projctl_agent.meters.project import Meters
from projctl_agent.metrics import Exposition, Running, Snapshot

assert openmetrics


def snapshot() -> Snapshot:
    ledger = Ledger()
    unit, boot = "projctl-web.service", "b" * 32
    ledger.feed(
        [
            Entry(Kind.STARTING, unit, "a" * 32, boot, 1_000_000, 1_000_000),
            Entry(Kind.STARTED, unit, "a" * 32, boot, 1_300_000, 1_300_000),
            Entry(Kind.IDLE_STOP, unit, "a" * 32, boot, 2_000_000, 2_000_000),
            Entry(Kind.STOPPING, unit, "a" * 32, boot, 2_010_000, 2_010_000),
            Entry(Kind.SUCCESS, unit, "a" * 32, boot, 2_100_000, 2_100_000),
            Entry(Kind.STARTED, unit, "c" * 32, boot, 3_000_000, 3_000_000),
        ]
    )
    running = {"web": Running(5.0, None, 1234, 2, 1, 3)}
    meters = {"web": Meters(Meter(2.5, {"a": 2.5}), peak=2345)}
    return Snapshot(ledger, {"web": "running", "quiet": "asleep"}, running, meters)


@pytest.mark.parametrize(
    ("accept", "parse"),
    [("", parse_text), ("application/openmetrics-text; version=1.0.0", parse_openmetrics)],
)
def test_samples(accept: str, parse: object) -> None:
    text, content_type = Exposition().render(snapshot(), accept)
    assert content_type.startswith("application/openmetrics-text" if accept else "text/plain")
    assert callable(parse)
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }
    web, quiet = ("project", "web"), ("project", "quiet")
    assert found["projctl_starts_total", web] == 2
    assert found["projctl_starts_total", quiet] == 0
    assert found["projctl_stops_total", web, ("reason", "idle")] == 1
    assert found["projctl_stops_total", web, ("reason", "crash")] == 0
    assert found["projctl_stops_total", quiet, ("reason", "oom")] == 0
    assert found["projctl_running", web] == 1
    assert found["projctl_running", quiet] == 0
    assert found["projctl_memory_bytes", web] == 1234
    assert found["projctl_memory_peak_bytes", web] == 2345
    assert found["projctl_threads", web] == 3
    assert ("projctl_idle_seconds", web) not in found
    assert found["projctl_cpu_seconds_total", web] == 2.5
    assert ("projctl_asleep_seconds_total", web) not in found
    assert found["projctl_start_duration_seconds_count", web] == 1
    assert found["projctl_start_duration_seconds_sum", web] == pytest.approx(0.3)
    assert found["projctl_start_duration_seconds_bucket", ("le", "0.25"), web] == 0
    assert found["projctl_start_duration_seconds_bucket", ("le", "0.5"), web] == 1
    assert any(key[0] == "projctl_agent_process_cpu_seconds_total" for key in found)
    assert any(key[0] == "projctl_build_info" for key in found)
