"""Three hundred projects, of which fifty are busy and the others are used now and then and stopped in between."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import table
from stage import Soak, soak
from steps import properties, server

BUSY, RARE, SECONDS = 50, 250, 600.0
IDLE = 10.0
#: What the stop may come later than the idle time: max(2 s, idle / 20).
LATE = max(2.0, IDLE / 20)
#: Seconds between two requests to a busy project, and to one that is rarely used.
OFTEN, SELDOM = (0.5, 2.0), (60.0, 180.0)


async def use(stage: Soak, name: str, pauses: tuple[float, float], deadline: float) -> None:
    """Requests at random intervals; the first after a random part of one, so that not all begin at once."""
    await asyncio.sleep(random.uniform(0, pauses[1] / 2))
    while time.monotonic() < deadline:
        await stage.ask(name)
        await asyncio.sleep(random.uniform(*pauses))


async def use_all(stage: Soak, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    names = list(stage.ports)
    users = [use(stage, name, OFTEN, deadline) for name in names[:BUSY]]
    users += [use(stage, name, SELDOM, deadline) for name in names[BUSY:]]
    watch = asyncio.create_task(asyncio.sleep(seconds))
    await asyncio.gather(*(asyncio.wait_for(user, seconds + 120) for user in users), watch)


def agent_figures(stage: Soak) -> tuple[float, int, float]:
    """CPU seconds and voluntary context switches of the agent so far, and its PSS in MiB."""
    pid = properties(stage.lab, "projctl-agent.service", "MainPID")["MainPID"]
    stat = stage.lab.file(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = stage.lab.file(f"/proc/{pid}/status").read_text()
    switches = next(line for line in status.splitlines() if line.startswith("voluntary_ctxt"))
    rollup = stage.lab.file(f"/proc/{pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return (int(stat[11]) + int(stat[12])) / 100, int(switches.split()[1]), pss / 1024


def punctuality(stage: Soak) -> tuple[int, int, float]:
    """Idle stops, those that came in time, and how late the latest was, in seconds after the idle time."""
    late: list[float] = []
    for name, stops in stage.idle_stops().items():
        requests = stage.record.requests[stage.ports[name]]
        for when, _ in stops:
            before = [request.ended for request in requests if request.ended <= when]
            late.append(when - max(before) - IDLE)
    return len(late), sum(delay <= LATE for delay in late), max(late, default=0.0)


def run() -> None:
    """300 projects, 50 busy, 250 used now and then, for ten minutes: idle stops in time, and the agent's cost"""
    with soak() as stage:
        stage.install({f"p{number}": server(idle=IDLE) for number in range(BUSY + RARE)})
        before = agent_figures(stage)
        asyncio.run(use_all(stage, SECONDS))
        after = agent_figures(stage)
        awake = asyncio.run(stage.wait_until_all_sleep(IDLE + 30))
        stops, timely, latest = punctuality(stage)
        wrong = stage.wrong_stops(IDLE)
        lost = stage.record.lost()
    cells: list[tuple[str, Any]] = [
        ("requests", stage.record.count()),
        ("lost", sum(lost.values())),
        ("idle stops", stops),
        ("in time", f"{timely} ({100 * timely / max(1, stops):.1f} %)"),
        ("latest, s after the idle time", f"{latest:.2f}"),
        ("stops of what was in use", len(wrong)),
        ("never stopped", len(awake)),
        ("agent: CPU seconds in ten minutes", f"{after[0] - before[0]:.1f}"),
        ("agent: wake-ups a second", f"{(after[1] - before[1]) / SECONDS:.1f}"),
        ("agent: PSS MiB", f"{after[2]:.1f}"),
    ]
    table.show(("what", "figure"), cells)
