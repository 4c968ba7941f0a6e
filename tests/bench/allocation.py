"""Who gets which port, for fleets of many projects over several ranges; no systemd is asked."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import table

from projctl.listen import Listen
from projctl.ports import Want, assign
from projctl.registry import Registry, dumps, loads

SIZES = (100, 1_000, 10_000)
RANGES = ((10001, 14000), (15001, 18000), (20001, 23000))
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def timed(wanted: list[Want], registry: Registry) -> tuple[str, Registry]:
    """Milliseconds of CPU time of one assignment, and the registry after it."""
    begin = time.process_time()
    addresses, after, _ = assign(wanted, registry, {}, ephemeral=(32768, 60999), now=NOW)
    milliseconds = 1000 * (time.process_time() - begin)
    assert len({address.port for address in addresses.values()}) == len(wanted)
    return f"{milliseconds:.0f}", after


def run() -> None:
    """giving out ports in milliseconds of CPU time: all new, all known, half of them back after they were removed"""
    rows = []
    for size in SIZES:
        wanted = [Want(f"p{number}", "http", Listen(auto=True), RANGES) for number in range(size)]
        new, registry = timed(wanted, Registry())
        known, registry = timed(wanted, registry)
        _, fewer = timed(wanted[::2], registry)
        back, _ = timed(wanted, fewer)
        begin = time.process_time()
        assert loads(dumps(registry)) == registry
        rows.append((size, new, known, back, f"{1000 * (time.process_time() - begin):.0f}"))
    table.show(("projects", "new", "known", "half come back", "write and read the registry"), rows)
