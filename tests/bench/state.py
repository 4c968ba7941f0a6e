"""What the agent's socket takes: status for many askers, events for many subscribers."""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import sys
import tempfile
import time
from pathlib import Path

import table
from steps import apply, projctl, properties, server

from projctl.lab import Lab

sys.path.append(str(Path(__file__).parents[1] / "agent"))

from test_feed import READY, Client, serving
from test_feed import subscribe as events_of

PROJECTS, QUESTIONS = 20, 2000
SUBSCRIBERS, RUNS, EVENTS = 100, 25, 100
AGENT = "projctl-agent.service"


def run() -> None:
    """status 2,000 times by the socket and by systemctl, then 100 events to 100 subscribers"""
    with Lab.boot() as lab:
        projctl(lab, "agent", "install")
        apply(lab, {f"p{number}": server(listen=10000 + number, idle="never") for number in range(PROJECTS)})
        path = lab.file("/run/projctl/agent.sock")
        _status(lab, path)
        _events(lab, path)
    asyncio.run(_delivery())


def _status(lab: Lab, path: Path) -> None:
    begin, cpu = time.perf_counter(), _cpu(lab)
    for _ in range(QUESTIONS):
        assert ask(path, {"get": "status"})["projects"]
    by_socket, cpu = time.perf_counter() - begin, _cpu(lab) - cpu
    units = [f"projctl-p{number}.service" for number in range(PROJECTS)]
    shell = f'for u in {" ".join(units)}; do systemctl show -p ActiveState,MainPID,MemoryCurrent "$u" >/dev/null; done'
    rounds = 5
    begin = time.perf_counter()
    for _ in range(rounds):
        lab.run(["sh", "-c", shell])
    by_show = (time.perf_counter() - begin) / rounds
    rows = [
        (
            "agent's socket",
            f"{1e3 * by_socket / QUESTIONS:.2f}",
            f"{by_socket:.1f}",
            f"{1e3 * cpu / QUESTIONS:.3f}",
        ),
        (
            "systemctl show, a unit at a time",
            f"{1e3 * by_show:.2f}",
            f"{by_show * QUESTIONS:.0f} (of {rounds})",
            "-",
        ),
    ]
    table.show(
        (f"status of {PROJECTS} projects", "ms each", f"s for {QUESTIONS}", "agent's CPU ms each"), rows
    )


def _events(lab: Lab, path: Path) -> None:
    """A run of each project makes four events; all of them are due to each subscriber."""
    clients = [subscribe(path) for _ in range(SUBSCRIBERS)]
    cpu, count = _cpu(lab), 4 * RUNS
    for round_ in range(RUNS):
        unit = f"projctl-p{round_ % PROJECTS}.service"
        lab.run(["systemctl", "start", unit])
        lab.run(["systemctl", "stop", unit])
    lines, last = collect(clients, count)
    assert set(lines) == {count}, lines
    head = (f"{count} events of {RUNS} runs, to {SUBSCRIBERS} subscribers", "agent's CPU ms", "last after ms")
    table.show(head, [("told by the agent", f"{1e3 * (_cpu(lab) - cpu):.0f}", f"{1e3 * last:.0f}")])
    for client in clients:
        client.close()


def collect(clients: list[socket.socket], count: int) -> tuple[list[int], float]:
    """How many lines each got once all have `count`, and for how long that was waited."""
    found, begin = dict.fromkeys(clients, 0), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while min(found.values()) < count and (ready := selector.select(20)):
            for key, _ in ready:
                found[key.fileobj] += key.fileobj.recv(1 << 20).count(b"\n")  # type: ignore[union-attr,index]
    return list(found.values()), time.perf_counter() - begin


async def _delivery() -> None:
    """The same events in one process: given out by the feed, as many at once as are read at once, and one by one."""
    rows = []
    for size in (1, 4, 100):
        with tempfile.TemporaryDirectory() as name:
            async with serving(Path(name) / "s") as feed:
                clients = [await events_of(Path(name) / "s") for _ in range(SUBSCRIBERS)]
                [await client.line() for client in clients]
                begin = time.process_time()
                for start in range(0, EVENTS, size):
                    feed.take([READY] * min(size, EVENTS - start), "s=1")
                    feed.publish()
                used = time.process_time() - begin
                [[await client.line() for _ in range(EVENTS)] for client in clients]
                for client in clients:
                    client.writer.close()
        rows.append(
            (f"the feed, {size} at once", EVENTS, -(-EVENTS // size) * SUBSCRIBERS, f"{1e3 * used:.0f}")
        )
    rows.append(("one write for each event and subscriber", *await _one_by_one()))
    table.show((f"{EVENTS} events to {SUBSCRIBERS} subscribers", "written down", "writes", "CPU ms"), rows)


async def _one_by_one() -> tuple[int, int, str]:
    writers: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    with tempfile.TemporaryDirectory() as name:
        async with await asyncio.start_unix_server(accept, f"{name}/s"):
            clients = [Client(*await asyncio.open_unix_connection(f"{name}/s")) for _ in range(SUBSCRIBERS)]
            while len(writers) < SUBSCRIBERS:
                await asyncio.sleep(0.01)
            begin = time.process_time()
            for _ in range(EVENTS):
                for writer in writers:
                    writer.write(READY.line(cursor="s=1").encode())
            used = time.process_time() - begin
            [[await client.line() for _ in range(EVENTS)] for client in clients]
            for connection in (*writers, *(client.writer for client in clients)):
                connection.close()
    return EVENTS * SUBSCRIBERS, EVENTS * SUBSCRIBERS, f"{1e3 * used:.0f}"


def ask(path: Path, request: dict[str, str]) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, object] = json.loads(client.makefile().readline())
        return answer


def subscribe(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.sendall(b'{"get":"events"}\n')
    assert b"subscribed" in client.recv(4096)
    return client


def _cpu(lab: Lab) -> float:
    return int(properties(lab, AGENT, "CPUUsageNSec")["CPUUsageNSec"]) / 1e9
