"""Three hundred projects, of which fifty are busy and the others are used now and then and stopped in between."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from typing import TYPE_CHECKING, Any

from stage import Soak, soak
from steps import properties, server

if TYPE_CHECKING:
    from run import Run

BUSY, RARE, SECONDS = 50, 250, 600.0
#: Seconds, of a short run too: each that is rarely used is to stop in it.
SHORTEST = 60.0
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
        await asyncio.sleep(min(random.uniform(*pauses), max(0.0, deadline - time.monotonic())))


async def use_all(stage: Soak, busy: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    names = list(stage.ports)
    users = [use(stage, name, OFTEN, deadline) for name in names[:busy]]
    users += [use(stage, name, SELDOM, deadline) for name in names[busy:]]
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


def punctuality(stage: Soak) -> list[float]:
    """How late the stop came, in seconds after the idle time, in each gap between two uses that is long enough to
    demand one, and after the last use; infinite where it never came.
    """
    late: list[float] = []
    for name, stops in stage.idle_stops().items():
        requests = stage.record.requests[stage.ports[name]]
        for request, following in itertools.pairwise([*requests, None]):
            used, begin = request.ended, following.began if following else math.inf
            if begin - used > IDLE + LATE:
                within = [when for when, _ in stops if used < when < begin]
                late.append(min(within, default=math.inf) - used - IDLE)
    return late


def run(run: Run) -> None:
    """300 projects, 50 busy, 250 used now and then, for ten minutes: idle stops in time, and the agent's cost"""
    busy, rare, seconds = run.scaled(BUSY), run.scaled(RARE), max(SHORTEST, SECONDS * run.share)
    with soak() as stage:
        stage.install({f"p{number}": server(idle=IDLE) for number in range(busy + rare)})
        run.progress(f"{busy + rare} projects installed, {seconds:g} s of use begin")
        before = agent_figures(stage)
        asyncio.run(use_all(stage, busy, seconds))
        run.progress("over")
        after = agent_figures(stage)
        awake = asyncio.run(stage.wait_until_all_sleep(IDLE + 30))
        stops = sum(map(len, stage.idle_stops().values()))
        late = punctuality(stage)
        wrong = stage.wrong_stops()
        lost = stage.record.lost()
    timely, came = sum(delay <= LATE for delay in late), [delay for delay in late if delay < math.inf]
    cells: list[tuple[str, Any]] = [
        ("requests", stage.record.count()),
        ("lost", sum(lost.values())),
        ("idle stops", stops),
        ("gaps that demand one", len(late)),
        ("with one in time", f"{timely} ({100 * timely / max(1, len(late)):.1f} %)"),
        ("with none", len(late) - len(came)),
        ("latest, s after the idle time", f"{max(came, default=0.0):.2f}"),
        ("stops of what was in use", len(wrong)),
        ("never stopped", len(awake)),
        (f"agent: CPU seconds in {seconds:g} s", f"{after[0] - before[0]:.1f}"),
        ("agent: wake-ups a second", f"{(after[1] - before[1]) / seconds:.1f}"),
        ("agent: PSS MiB", f"{after[2]:.1f}"),
    ]
    run.show(("what", "figure"), cells)
    run.expect(not lost, "no request lost")
    run.expect(
        late and timely >= 0.99 * len(late), "an idle stop in time in 99 % of the gaps that demand one"
    )
    run.expect(not wrong, "nothing stopped that was in use")
    run.expect(not awake, "every idle server stopped")
