"""Orders to the helper whose givers go before they are answered, as a look does that a reload ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from projctl_agent import orders
from projctl_agent.bus import BusError
from projctl_agent.orders import Orders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SHOP, BLOG = "projctl-shop.service", "projctl-blog.service"


@contextlib.asynccontextmanager
async def helper(path: Path) -> AsyncIterator[asyncio.Semaphore]:
    """Answers one order for each permit, in their order, and no reclaim: it refuses everything about BLOG."""
    permits, ended = asyncio.Semaphore(0), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                ((verb, unit),) = json.loads(line).items()
                await (ended.wait() if verb == "reclaim" else permits.acquire())
                answer = {"error": "it is in use"} if unit == BLOG else {"done": unit}
                writer.write(json.dumps(answer).encode() + b"\n")
        finally:
            writer.close()
            ended.set()

    async with await asyncio.start_unix_server(serve, path):
        yield permits
        permits.release()
        await ended.wait()


async def given_up(order: asyncio.Task[None]) -> None:
    await asyncio.sleep(0.1)
    order.cancel()
    await asyncio.gather(order, return_exceptions=True)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(orders, "HELPER", str(tmp_path / "helper.sock"))
    return tmp_path / "helper.sock"


def test_the_answer_to_one_who_has_gone_is_nobody_elses(place: Path) -> None:
    async def act() -> None:
        async with helper(place) as permits:
            wanted = Orders(None)
            await given_up(asyncio.ensure_future(wanted.start(SHOP)))
            refused = asyncio.ensure_future(wanted.freeze(BLOG, "1"))
            await asyncio.sleep(0.1)
            permits.release()
            permits.release()
            with pytest.raises(BusError, match="in use"):
                await refused
            assert not wanted.frozen
            wanted.close()

    asyncio.run(act())


def test_what_is_frozen_is_known_to_be(place: Path) -> None:
    async def act() -> None:
        async with helper(place) as permits:
            thawed = []
            wanted = Orders(None, lambda service, _, reason: thawed.append((service, reason)))
            await given_up(asyncio.ensure_future(wanted.freeze(SHOP, "1")))
            permits.release()
            async with asyncio.timeout(10):
                while SHOP not in wanted.frozen:
                    await asyncio.sleep(0.01)
            permits.release()
            await wanted.thaw(SHOP, "hold")
            assert thawed == [(SHOP, "hold")]
            wanted.close()

    asyncio.run(act())


def test_who_waits_when_it_ends_is_told(place: Path) -> None:
    async def act() -> None:
        async with helper(place):
            wanted = Orders(None)
            waiting = asyncio.ensure_future(wanted.start(SHOP))
            await asyncio.sleep(0.1)
            wanted.close()
            with pytest.raises(BusError, match="it ended"):
                await waiting

    asyncio.run(act())


def test_it_is_lost_only_when_it_answers_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that fall due together are answered one after another, the last of them long after it was given."""
    monkeypatch.setattr(orders, "_PATIENCE", 3.0)

    async def act() -> None:
        async with helper(place) as permits:
            thawed = []
            wanted = Orders(None, lambda service, _, reason: thawed.append((service, reason)))
            services = [f"projctl-shop{number}.service" for number in range(4)]
            freezing = [asyncio.ensure_future(wanted.freeze(service, "1")) for service in services]
            for _ in services:
                await asyncio.sleep(1)
                permits.release()
            await asyncio.gather(*freezing)
            assert set(wanted.frozen) == set(services)
            with pytest.raises(BusError, match="it ended"):
                await wanted.thaw(services[0], "hold")
            assert thawed == [(service, "lost") for service in services]
            permits.release()
            wanted.close()

    asyncio.run(act())


def test_a_reclaim_that_takes_long_holds_up_nothing(place: Path) -> None:
    async def act() -> None:
        async with helper(place) as permits:
            wanted = Orders(None)
            permits.release()
            await wanted.freeze(SHOP, "1")
            reclaiming = asyncio.ensure_future(wanted.reclaim(SHOP))
            await asyncio.sleep(0.1)
            permits.release()
            async with asyncio.timeout(10):
                await wanted.thaw(SHOP, "hold")
            assert not reclaiming.done()
            wanted.close()
            await asyncio.gather(reclaiming, return_exceptions=True)

    asyncio.run(act())
