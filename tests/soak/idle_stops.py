"""Idle stops while clients connect at random times around them; and the same servers stopped without projctl."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import bare
from server_cases import APPS
from stage import Soak, soak

if TYPE_CHECKING:
    from collections.abc import Callable

    from run import Run

#: What runs, in the directory of the test applications.
SERVERS = {
    "gunicorn": ["gunicorn", "wsgi:app"],
    "projctl-serve": ["projctl-serve", "asgi:app"],
    "uvicorn": ["uvicorn", "asgi:app"],
}
#: The others lose some by themselves, which the row without projctl shows.
LOSE_NOTHING = ("gunicorn", "projctl-serve")
#: With projctl, and without: that only has to show who loses some by itself.
STOPS, BARE_STOPS = 1000, 200
#: Projects of one kind at a time, and seconds without use after which they stop.
PROJECTS, IDLE = 20, 1.0
#: Requests around one stop, and the window of seconds around the end of the idle time they fall into.
AROUND, BEFORE, AFTER = 2, 0.05, 1.0
#: Seconds that one kind of server may take at most, and between two lines about how far it is.
LIMIT, OFTEN = 700.0, 30.0


async def cycle(stage: Soak, name: str, over: asyncio.Event) -> None:
    """Use it once, then connect at random times around the moment when it is idle for long enough."""
    while not over.is_set():
        await stage.ask(name)
        delays = [max(0.0, IDLE + random.uniform(-BEFORE, AFTER)) for _ in range(AROUND)]
        await asyncio.gather(*(_ask_later(stage, name, delay) for delay in delays))


async def _ask_later(stage: Soak, name: str, delay: float) -> None:
    await asyncio.sleep(delay)
    await stage.ask(name)


async def until_stopped(stage: Soak, wanted: int, tell: Callable[[int], None]) -> int:
    """Run the clients until there were so many stops; how many there were."""
    over = asyncio.Event()
    clients = [asyncio.create_task(cycle(stage, name, over)) for name in stage.ports]
    now = asyncio.get_running_loop().time
    deadline, telling = now() + LIMIT, now() + OFTEN
    stops = 0
    while stops < wanted and now() < deadline:
        await asyncio.sleep(2)
        stops = sum((await asyncio.to_thread(stage.counted))[1].values())
        if now() > telling:
            tell(stops)
            telling += OFTEN
    over.set()
    await asyncio.gather(*clients)
    return stops


def with_projctl(command: list[str], wanted: int, tell: Callable[[int], None]) -> tuple[int, Soak]:
    with soak() as stage:
        project = {"path": str(APPS), "run": command, "idle": IDLE}
        stage.install({f"p{number}": project for number in range(PROJECTS)})
        return asyncio.run(until_stopped(stage, wanted, tell)), stage


def run(run: Run) -> None:
    """1,000 idle stops of each server, clients connecting around each; then 200 stops without projctl"""
    wanted = run.scaled(STOPS)
    rows: list[tuple[object, ...]] = []
    ends: list[str] = []
    for name, command in SERVERS.items():

        def tell(stops: int, name: str = name) -> None:
            run.progress(f"{name}: {stops} of {wanted} stops")

        stops, stage = with_projctl(command, wanted, tell)
        tell(stops)
        run.expect(stops >= wanted, f"{wanted} stops of {name}")
        run.expect(name not in LOSE_NOTHING or not stage.record.lost(), f"no request to {name} lost")
        bare_stops, record = bare.run(command, run.scaled(BARE_STOPS), LIMIT)
        run.progress(f"{name} without projctl: {bare_stops} stops")
        for manager, count, asked in (("projctl", stops, stage.record), ("none", bare_stops, record)):
            lost = asked.lost()
            rows.append((name, manager, count, asked.count(), sum(lost.values())))
            ends += [f"{name}, {manager}: {times}: {end}" for end, times in lost.items()]
    run.show(("server", "manager", "stops", "requests", "lost"), rows)
    run.remark("how they were lost", ends or ["none was"])
