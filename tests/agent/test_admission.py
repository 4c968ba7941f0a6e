"""Places for connections: nobody can take those of others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from projctl_agent import admission, httpd
from projctl_agent.admission import Places, Queue, Stage


def test_the_peer_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert admission.peer_uid(ours) == os.getuid()


EACH, ALL, KEPT = 4, 64, 16


def test_a_user_has_few_places_and_all_users_together_not_those_that_are_kept() -> None:
    places = Places()
    with contextlib.ExitStack() as held:
        of_one = [held.enter_context(places.take(1000)) for _ in range(40)]
        assert of_one == [True] * EACH + [False] * (40 - EACH)
        of_many = [held.enter_context(places.take(uid)) for uid in range(2000, 2100)]
        assert of_many.count(True) == ALL - KEPT - EACH
        of_root = [held.enter_context(places.take(0)) for _ in range(40)]
        assert of_root == [True] * KEPT + [False] * (40 - KEPT)
    with places.take(1000) as free:
        assert free


def test_the_oldest_silent_connection_makes_room_and_an_asker_keeps_its_place() -> None:
    ended: list[int] = []

    async def connection(queue: Queue, number: int, stage: Stage) -> bool:
        try:
            with queue.take() as free:
                queue.reached(stage)
                await asyncio.sleep(0.2)
                return free
        except asyncio.CancelledError:
            ended.append(number)
            raise

    async def work(stages: list[Stage]) -> list[bool | BaseException]:
        queue, tasks = Queue(), []
        for number, stage in enumerate(stages):
            tasks.append(asyncio.create_task(connection(queue, number, stage)))
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(work([Stage.ASKED, Stage.ANSWERED] + [Stage.SILENT] * 30 + [Stage.ASKED] * 31))
    assert ended == [*range(2, 32), 1]
    ended.clear()
    found = asyncio.run(work([Stage.ASKED] * 33))
    assert (found, ended) == ([True] * 32 + [False], [])


def test_idle_connections_do_not_keep_a_scraper_out() -> None:
    async def source(accept: str) -> tuple[bytes, str]:
        return b"metrics\n", "text/plain"

    complaints: list[dict[str, object]] = []

    async def work() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        listener = socket.create_server(("127.0.0.1", 0))
        async with await httpd.serve(listener, source):
            address = listener.getsockname()
            idle = [await asyncio.open_connection(*address) for _ in range(40)]
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 10)
            for _, end in (*idle, (reader, writer)):
                end.close()
            return answer

    assert asyncio.run(work()).endswith(b"\r\n\r\nmetrics\n")
    assert complaints == []
