"""Restarts by `projctl restart` while clients ask without a pause."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import idle_stops
from server_cases import APPS
from stage import Soak, soak
from steps import projctl

if TYPE_CHECKING:
    from run import Run

SERVERS = ("gunicorn", "projctl-serve")
RESTARTS, PROJECTS, CLIENTS = 200, 4, 2
#: Seconds between two requests of one client.
PAUSE = 0.02


async def stream(stage: Soak, name: str, over: asyncio.Event) -> None:
    while not over.is_set():
        await stage.ask(name)
        await asyncio.sleep(PAUSE)


async def restart_again_and_again(stage: Soak, times: int) -> None:
    over = asyncio.Event()
    clients = [asyncio.create_task(stream(stage, name, over)) for name in stage.ports for _ in range(CLIENTS)]
    await asyncio.gather(*(restart(stage, name, times) for name in stage.ports))
    over.set()
    await asyncio.gather(*clients)


async def restart(stage: Soak, name: str, times: int) -> None:
    for _ in range(times):
        await asyncio.to_thread(projctl, stage.lab, "restart", name, timeout=120)


def measure(command: list[str], times: int) -> Soak:
    with soak() as stage:
        project = {"path": str(APPS), "run": command}
        stage.install({f"p{number}": project for number in range(PROJECTS)})
        asyncio.run(restart_again_and_again(stage, times))
        return stage


def run(run: Run) -> None:
    """200 restarts of each server under a constant stream of one-shot requests"""
    rows: list[tuple[object, ...]] = []
    ends: list[str] = []
    for name in SERVERS:
        times = run.scaled(RESTARTS // PROJECTS)
        record = measure(idle_stops.SERVERS[name], times).record
        run.progress(f"{name}: done")
        run.expect(not record.lost(), f"no request to {name} lost")
        rows.append((name, times * PROJECTS, record.count(), sum(record.lost().values())))
        ends += [f"{name}: {count}: {end}" for end, count in record.lost().items()]
    run.show(("server", "restarts", "requests", "lost"), rows)
    run.remark("how they were lost", ends or ["none was"])
