"""Clients of a fleet: one-shot requests over the lab's network, each with its times and how it ended."""

from __future__ import annotations

import asyncio
import collections
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: Seconds until a request counts as lost.
PATIENCE = 60.0
OK = "200"
_REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """One request: when it began and ended (seconds since 1970), and its status or how it failed."""

    began: float
    ended: float
    end: str


@dataclass
class Record:
    """Every request, by the port it went to."""

    requests: dict[int, list[Request]] = field(default_factory=lambda: collections.defaultdict(list))

    def count(self) -> int:
        return sum(map(len, self.requests.values()))

    def lost(self) -> dict[str, int]:
        """How many requests were not answered, by how they ended."""
        every = (request.end for requests in self.requests.values() for request in requests)
        return dict(collections.Counter(end for end in every if end != OK))

    def longest(self) -> float:
        """Seconds that the slowest answer took."""
        every = (request for requests in self.requests.values() for request in requests)
        return max((request.ended - request.began for request in every), default=0.0)


async def ask(connect: Callable[[], socket.socket], port: int, record: Record) -> None:
    """One request on a connection of its own; it is recorded however it ends."""
    began = time.time()
    try:
        async with asyncio.timeout(PATIENCE):
            end = await _exchange(connect(), port)
    except TimeoutError:
        end = f"no answer within {PATIENCE:g} s"
    except OSError as error:
        end = error.strerror or str(error)
    record.requests[port].append(Request(began, time.time(), end))


async def _exchange(connection: socket.socket, port: int) -> str:
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    with connection:
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, _REQUEST)
        answer = b""
        while chunk := await loop.sock_recv(connection, 65536):
            answer += chunk
    return judge(answer)


def judge(answer: bytes) -> str:
    """`200`, another status, or what is wrong with an answer."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return f"closed after {len(answer)} bytes"
    lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    if "chunked" in headers.get("transfer-encoding", "") and not body.endswith(b"0\r\n\r\n"):
        return "closed within the body"
    if len(body) < int(headers.get("content-length", "0")):
        return "closed within the body"
    return lines[0].split()[1]
