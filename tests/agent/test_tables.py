"""The shared table of TCP sockets: one reading for those who ask together."""

from __future__ import annotations

import asyncio
import socket

import pytest

from projctl_agent import sockdiag
from projctl_agent.sockdiag import Endpoint, Listeners, Traffic
from projctl_agent.tables import Table


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many asked in each reading so far."""
    found: list[int] = []
    really = sockdiag.tcp_traffic

    def read(wanted: list[Listeners]) -> list[Traffic]:
        found.append(len(wanted))
        return really(wanted)

    monkeypatch.setattr(sockdiag, "tcp_traffic", read)
    return found


def test_who_asks_together_shares_a_reading_and_who_asks_later_has_another(readings: list[int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        wanted = [Listeners((Endpoint(each.getsockname()[1]),)) for each in (one, other)]

        async def story() -> None:
            table = Table()
            before = await asyncio.gather(*map(table.traffic, wanted))
            with socket.create_connection(other.getsockname()):
                after = await asyncio.gather(*map(table.traffic, wanted))
            assert [found.queue for found in (*before, *after)] == [0, 0, 0, 1]

        asyncio.run(story())
    assert readings == [2, 2]


def test_who_gives_up_meanwhile_takes_nothing_from_the_others(readings: list[int]) -> None:
    async def story() -> None:
        table = Table()
        gone, here = (asyncio.ensure_future(table.traffic(Listeners(()))) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        async with asyncio.timeout(10):
            assert await here == Traffic()

    asyncio.run(story())
    assert readings == [2]


@pytest.mark.parametrize(
    "error", [OSError(1, "cannot read the kernel's socket table"), ValueError("too many")]
)
def test_a_table_that_cannot_be_read_is_told_to_all(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: object) -> list[Traffic]:
        raise error

    monkeypatch.setattr(sockdiag, "tcp_traffic", fail)

    async def story() -> list[object]:
        table = Table()
        return list(
            await asyncio.gather(*(table.traffic(Listeners(())) for _ in range(2)), return_exceptions=True)
        )

    told = asyncio.run(story())
    assert [repr(one) for one in told] == [repr(error)] * 2
