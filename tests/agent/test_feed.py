"""Subscribers of events: all get the same lines, and one who does not read is told so and let go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from projctl_agent import local
from projctl_agent.event import Event
from projctl_agent.feed import KEYS, Feed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from projctl_agent.journal import Journal

READY = Event(1.0, "ready", "web", "projctl-web.service", "a" * 32, "", {"seconds": 0.5})
END = READY._replace(
    event="crashed", reason="crash", figures={"uptime_seconds": 1.0, "exit": "exit status 3"}
)


class Quiet:
    """A journal in which nothing happens: what is told comes from the test."""

    def bell(self, cursor: str) -> Quiet:
        self._ends = os.pipe()
        return self

    def has(self, cursor: str) -> bool:
        return False

    def fileno(self) -> int:
        return self._ends[0]

    def rings(self) -> bool:
        return False

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def line(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await asyncio.wait_for(self.reader.readline(), 10))
        return found


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Feed]:
    async def read() -> None:
        pass

    feed = Feed(cast("Journal", Quiet()), lambda: "", read)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    async with await local.serve(listener, {("get", "events"): local.Stream(feed.serve, KEYS)}):
        yield feed


async def subscribe(path: Path, **more: object) -> Client:
    client = Client(*await asyncio.open_unix_connection(str(path)))
    client.writer.write(json.dumps({"get": "events", **more}).encode() + b"\n")
    return client


async def until(what: Any) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.01)


def test_each_event_is_written_down_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    original = Event.line
    monkeypatch.setattr(
        Event, "line", lambda self, **more: written.append(self.event) or original(self, **more)
    )

    async def work() -> None:
        async with serving(tmp_path / "s") as feed:
            clients = [await subscribe(tmp_path / "s") for _ in range(5)]
            assert [await client.line() for client in clients] == [{"version": 1, "subscribed": True}] * 5
            feed.take([READY, READY._replace(time=2.0)], "s=1")
            feed.publish()
            for client in clients:
                assert [(await client.line())["time"] for _ in range(2)] == [1.0, 2.0]
            assert written == ["ready", "ready"]
            for client in clients:
                client.writer.close()
            await until(lambda: len(feed) == 0)
            feed.take([READY], "s=2")
            feed.publish()
            assert len(written) == 2

    asyncio.run(work())


def test_an_end_is_told_with_its_figures_or_after_a_while_without(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path / "s") as feed:
            client = await subscribe(tmp_path / "s")
            await client.line()
            feed.take([END], "s=1")
            feed.take([END._replace(event="figures", figures={"cpu_seconds": 1.5})], "s=2")
            feed.publish()
            assert (await client.line())["cpu_seconds"] == 1.5
            feed.take([END], "s=3")
            feed.publish()
            last = await client.line()
            assert (last["cursor"], "cpu_seconds" in last) == ("s=3", False)
            client.writer.close()

    asyncio.run(work())


def test_who_does_not_read_is_dropped_with_a_last_line(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path / "s") as feed:
            slow, quick = await subscribe(tmp_path / "s"), await subscribe(tmp_path / "s")
            assert await slow.line() == await quick.line()
            big = READY._replace(unit="x" * 1000)
            given = 0
            while len(feed) == 2:
                feed.take([big] * 100, "s=1")
                feed.publish()
                given += 100
                for _ in range(100):
                    assert (await quick.line())["unit"] == big.unit
                assert given < 10_000
            lines = (await asyncio.wait_for(slow.reader.read(), 10)).splitlines()
            assert [json.loads(text)["unit"] for text in lines[:-1]] == [big.unit] * (len(lines) - 1)
            assert len(lines) - 1 <= given
            last = json.loads(lines[-1])
            assert (last["version"], last["error"][:8]) == (1, "too slow")
            feed.take([READY], "s=2")
            feed.publish()
            assert (await quick.line())["unit"] == READY.unit
            quick.writer.close()
            slow.writer.close()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"since": "yesterday"}, '"since" must be a number, in seconds since 1970'),
        ({"since": True}, '"since" must be a number, in seconds since 1970'),
        ({"after": 5}, '"after" must be the cursor of an event'),
        ({"after": ""}, '"after" must be the cursor of an event'),
        ({"after": "nonsense"}, '"after" must be the cursor of an event'),
        ({"from": 5}, 'unknown key "from", must be one of: after, since'),
    ],
)
def test_other_wishes_are_refused(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    async def work() -> None:
        async with serving(tmp_path / "s") as feed:
            client = await subscribe(tmp_path / "s", **more)
            assert await client.line() == {"version": 1, "error": said}
            assert await asyncio.wait_for(client.reader.read(), 10) == b""
            assert len(feed) == 0
            client.writer.close()

    asyncio.run(work())
