"""Stops idle servers and keeps their sockets without systemd and projctl: what a server loses by itself."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from clients import Record, ask
from server_cases import APPS

#: As in idle_stops, but for fewer at a time: this one process runs them all.
PROJECTS, IDLE = 12, 1.0
AROUND, BEFORE, AFTER = 2, 0.05, 1.0
#: What each server needs to be told to take descriptor 3; the others read LISTEN_FDS.
_TAKES = {"uvicorn": ["--fd", "3"]}
_EXEC = 'exec 3<&"$1"; shift; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'


@dataclass
class Bare:
    """One server on a socket that outlives it."""

    command: list[str]
    listener: socket.socket
    record: Record
    stops: int = 0

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    async def ask(self) -> None:
        await ask(socket.socket, self.port, self.record)

    async def serve(self, over: asyncio.Event) -> None:
        """Start it when a connection waits, end it when nobody used it for so long; again and again."""
        while not over.is_set():
            if not await self._somebody_waits():
                continue
            process = await self._start()
            while not over.is_set() and (rest := IDLE - (time.time() - self._last_use())) > 0:
                await asyncio.sleep(rest)
            process.send_signal(signal.SIGTERM)
            await process.wait()
            self.stops += 1

    async def _somebody_waits(self) -> bool:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.listener, readable.set)
        try:
            async with asyncio.timeout(0.5):
                return await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self.listener)

    async def _start(self) -> asyncio.subprocess.Process:
        handle = self.listener.fileno()
        self._began = time.time()
        return await asyncio.create_subprocess_exec(
            "/bin/bash", "-c", _EXEC, "bash", str(handle), *self.command, pass_fds=(handle,), cwd=APPS,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    def _last_use(self) -> float:
        """When it last answered; now, while it has not answered at all since it was started."""
        requests = self.record.requests[self.port]
        return requests[-1].ended if requests and requests[-1].ended > self._began else time.time()


async def cycle(bare: Bare, over: asyncio.Event) -> None:
    """As idle_stops.cycle."""
    while not over.is_set():
        await bare.ask()
        delays = [max(0.0, IDLE + random.uniform(-BEFORE, AFTER)) for _ in range(AROUND)]
        await asyncio.gather(*(_ask_later(bare, delay) for delay in delays))


async def _ask_later(bare: Bare, delay: float) -> None:
    await asyncio.sleep(delay)
    await bare.ask()


def run(command: list[str], stops: int, limit: float) -> tuple[int, Record]:
    """So many stops, or as many as there are in so many seconds, and the requests around them."""
    record = Record()
    return asyncio.run(_run([*command, *_TAKES.get(command[0], [])], record, stops, limit)), record


async def _run(command: list[str], record: Record, stops: int, limit: float) -> int:
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=4096) for _ in range(PROJECTS)]
    for listener in listeners:
        listener.setblocking(False)
    every = [Bare(command, listener, record) for listener in listeners]
    clients_over, servers_over = asyncio.Event(), asyncio.Event()
    servers = [asyncio.create_task(bare.serve(servers_over)) for bare in every]
    clients = [asyncio.create_task(cycle(bare, clients_over)) for bare in every]
    deadline = time.monotonic() + limit
    while sum(bare.stops for bare in every) < stops and time.monotonic() < deadline:
        await asyncio.sleep(1)
    clients_over.set()
    await asyncio.gather(*clients)
    servers_over.set()
    await asyncio.gather(*servers)
    for listener in listeners:
        listener.close()
    return sum(bare.stops for bare in every)
