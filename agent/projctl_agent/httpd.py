"""Serves /metrics on a socket that systemd opened: one request per connection, strict and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl_agent.admission import Queue, Stage

if TYPE_CHECKING:
    import socket

_LARGEST_HEAD = 8192
#: Seconds for a request to arrive, and for its answer to be made and taken.
_SILENCE, _PATIENCE = 2.0, 10.0
#: What quietly ends a connection; asyncio would log a traceback for each one that is cancelled.
_ENDS = (OSError, TimeoutError, asyncio.CancelledError)
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]{1,2048}) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

#: Takes the Accept header, gives body and content type.
Source = Callable[[str], Awaitable[tuple[bytes, str]]]


class RequestError(Exception):
    """The request cannot be answered; `status` is what HTTP calls it."""

    def __init__(self, status: int) -> None:
        super().__init__(_PHRASES[status])
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What matters of a request: method, path without query, the Accept header."""

    method: str
    path: str
    accept: str


def parse(head: bytes) -> Request:
    """The request of a head (everything before the empty line). Raises RequestError."""
    line, *rest = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if not match:
        raise RequestError(400)
    accepts = []
    for text in rest:
        header = _HEADER.fullmatch(text)
        if not header:
            raise RequestError(400)
        if header[1].lower() == b"accept":
            accepts.append(header[2].decode("latin-1").strip())
    path = match[2].decode("ascii").partition("?")[0]
    return Request(match[1].decode("ascii"), path, ",".join(accepts))


def check(request: Request) -> None:
    """Raise RequestError for what is not served."""
    if request.path != "/metrics":
        raise RequestError(404)
    if request.method not in {"GET", "HEAD"}:
        raise RequestError(405)


def compose(status: int, body: bytes, content_type: str, *, head_only: bool = False) -> bytes:
    """A whole answer, after which the connection closes."""
    lines = [
        f"HTTP/1.1 {status} {_PHRASES[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if status == 405:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (b"" if head_only else body)


def refuse(status: int) -> bytes:
    """The answer to what cannot be served."""
    return compose(status, f"{_PHRASES[status].lower()}\n".encode(), "text/plain; charset=utf-8")


async def serve(listener: socket.socket, source: Source) -> asyncio.Server:
    """Answer on this socket until the server is closed."""
    queue = Queue()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(*_ENDS), queue.take() as free:
                answer = await _answer(reader, source, queue) if free else refuse(503)
                queue.reached(Stage.ANSWERED)
                async with asyncio.timeout(_PATIENCE):
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()

    return await asyncio.start_server(handle, sock=listener, limit=_LARGEST_HEAD)


async def _answer(reader: asyncio.StreamReader, source: Source, queue: Queue) -> bytes:
    try:
        async with asyncio.timeout(_SILENCE):
            request = parse(await _read_head(reader))
        queue.reached(Stage.ASKED)
        check(request)
        async with asyncio.timeout(_PATIENCE):
            body, content_type = await source(request.accept)
        return compose(200, body, content_type, head_only=request.method == "HEAD")
    except RequestError as error:
        return refuse(error.status)
    except TimeoutError:
        raise
    except OSError:  # the journal cannot be read
        return refuse(500)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except asyncio.LimitOverrunError:
        raise RequestError(431) from None
    except asyncio.IncompleteReadError:
        raise RequestError(400) from None
