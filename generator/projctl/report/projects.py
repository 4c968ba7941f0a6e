"""The figures of each project, its servers put together; pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from projctl.report.kpis import GIB_HOUR
from projctl.report.spans import percentile, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl.report.servers import Server


@dataclass(frozen=True)
class Project:
    """One project in the window; None is what nothing recorded tells. `exits` are the last words of its faults."""

    name: str
    installed: bool
    starts: int
    failed: int
    stops: dict[str, int]
    up_seconds: float
    memory_bytes: float | None
    saved_gib_hours: float | None
    cold_p95: float | None
    availability: float | None
    unavailable_seconds: float | None
    bytes: float | None
    requests: int | None = None
    exits: tuple[str, ...] = field(default=())

    @property
    def used(self) -> bool:
        """Whether it ran at all."""
        return self.up_seconds > 0 or self.starts > 0


def summarise(servers: Sequence[Server]) -> list[Project]:
    """By name."""
    ordered = sorted(servers, key=lambda server: server.project)
    return [_project(name, list(group)) for name, group in groupby(ordered, lambda server: server.project)]


def _project(name: str, servers: Sequence[Server]) -> Project:
    runs = [run for server in servers for run in server.runs]
    starts = [run for server in servers for run in server.starts]
    known = [server for server in servers if server.memory is not None]
    seen = [server for server in servers if server.runs and server.lived]
    lived = math.fsum(total(server.lived) for server in seen)
    out = math.fsum(total(server.outages) for server in seen)
    logs = [server.requests for server in servers if server.requests]
    moved = [run.figures[key] for run in runs for key in ("bytes_in", "bytes_out") if key in run.figures]
    saved = math.fsum((server.always_on or 0) - (server.used or 0) for server in known)
    exits = dict.fromkeys(run.exit or run.reason for run in reversed(runs) if run.broke)
    return Project(
        name=name,
        installed=any(server.settings is not None for server in servers),
        starts=len(starts),
        failed=sum(run.failed_to_start for run in starts),
        stops=dict(sorted(Counter(run.reason for run in runs if run.reason).items())),
        up_seconds=math.fsum(total(server.up) for server in servers),
        memory_bytes=math.fsum(server.memory or 0 for server in known) / len(known) if known else None,
        saved_gib_hours=saved / GIB_HOUR if known else None,
        cold_p95=percentile([value for server in servers for value in server.cold], 0.95),
        availability=1 - out / lived if lived else None,
        unavailable_seconds=out if lived else None,
        bytes=math.fsum(moved) if moved else None,
        requests=sum(log.count for log in logs) if logs else None,
        exits=tuple(exits)[:3],
    )
