"""Idle stops while clients connect at random times around them; and the same servers stopped without projctl."""

from __future__ import annotations

import asyncio
import random

import bare
import table
from server_cases import APPS
from stage import Soak, soak

#: What runs, in the directory of the test applications.
SERVERS = {
    "gunicorn": ["gunicorn", "wsgi:app"],
    "projctl-serve": ["projctl-serve", "asgi:app"],
    "uvicorn": ["uvicorn", "asgi:app"],
}
STOPS = 1000
#: Projects of one kind at a time, and seconds without use after which they stop.
PROJECTS, IDLE = 12, 1.0
#: Requests around one stop, and the window of seconds around the end of the idle time they fall into.
AROUND, BEFORE, AFTER = 2, 0.05, 0.8
#: Seconds that one kind of server may take at most.
LIMIT = 1500.0


async def cycle(stage: Soak, name: str, over: asyncio.Event) -> None:
    """Use it once, then connect at random times around the moment when it is idle for long enough."""
    while not over.is_set():
        await stage.ask(name)
        delays = [max(0.0, IDLE + random.uniform(-BEFORE, AFTER)) for _ in range(AROUND)]
        await asyncio.gather(*(_ask_later(stage, name, delay) for delay in delays))


async def _ask_later(stage: Soak, name: str, delay: float) -> None:
    await asyncio.sleep(delay)
    await stage.ask(name)


async def until_stopped(stage: Soak) -> int:
    """Run the clients until there were enough stops; how many there were."""
    over = asyncio.Event()
    clients = [asyncio.create_task(cycle(stage, name, over)) for name in stage.ports]
    deadline = asyncio.get_running_loop().time() + LIMIT
    stops = 0
    while stops < STOPS and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(2)
        stops = sum((await asyncio.to_thread(stage.counted))[1].values())
    over.set()
    await asyncio.gather(*clients)
    return stops


def with_projctl(command: list[str]) -> tuple[int, Soak]:
    with soak() as stage:
        project = {"path": str(APPS), "run": command, "idle": IDLE}
        stage.install({f"p{number}": project for number in range(PROJECTS)})
        return asyncio.run(until_stopped(stage)), stage


def run() -> None:
    """1,000 idle stops of each server, clients connecting around each; then as many stops without projctl"""
    rows: list[tuple[object, ...]] = []
    ends: list[str] = []
    for name, command in SERVERS.items():
        stops, stage = with_projctl(command)
        rows.append((name, "projctl", stops, stage.record.count(), sum(stage.record.lost().values())))
        ends += [f"{name}, projctl: {count}: {end}" for end, count in stage.record.lost().items()]
        record = bare.run(command, STOPS)
        rows.append((name, "none", STOPS, record.count(), sum(record.lost().values())))
        ends += [f"{name}, none: {count}: {end}" for end, count in record.lost().items()]
        print(f"{name}: done", flush=True)
    table.show(("server", "manager", "stops", "requests", "lost"), rows)
    print("\nhow they were lost", *ends, sep="\n")
