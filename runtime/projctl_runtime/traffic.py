"""What is under way in one server: its connections and its applications' calls, seen as ASGI middleware."""

from __future__ import annotations

import asyncio
import contextlib
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from projctl_runtime.application import ASGIApplication, Message, Receive, Send
    from projctl_runtime.connection import Connection

#: Where a request's scope carries its connection until the middleware takes it out.
CONNECTION = "projctl.connection"
#: Close code of a WebSocket whose server restarts (IANA's registry of RFC 6455).
_SERVICE_RESTART = 1012
#: A response to a half-read request is lost with the connection; this much of the rest is read before the close.
_MOST_UNREAD_BYTES = 1 << 20
_MOST_UNREAD_SECONDS = 2.0
_TOO_LATE = b"the server stopped before this was done\n"


class Traffic:
    """An ASGI application around another that counts, logs and, while draining, ends connections in order.

    `changed` is called after each change of the figures.
    """

    def __init__(
        self,
        application: ASGIApplication,
        log: Callable[[MutableMapping[str, Any], int, float], None] | None,
        changed: Callable[[], None],
    ) -> None:
        self.connections: set[Connection] = set()
        self.calls: set[asyncio.Task[Any]] = set()
        self.answered = 0
        self.draining = False
        self._application = application
        self._log = log
        self._changed = changed
        self._sockets: set[_WebSocket] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._date = (0, b"")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        connection = scope["state"].pop(CONNECTION)
        with self._call(connection):
            if scope["type"] == "websocket":
                await self._websocket(scope, receive, send)
            else:
                await _Request(self, scope, receive, send).run(self._application)

    def add(self, connection: Connection) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        self._changed()

    def busy(self) -> bool:
        """Whether anything accepted is still open or at work."""
        self.purge()
        return bool(self.connections or self.calls or self._closing)

    def purge(self) -> None:
        """Forget connections that are closed without our being told: a refused handshake of a WebSocket."""
        self.connections -= {connection for connection in self.connections if connection.gone}

    def start_draining(self) -> None:
        """From now on each response is its connection's last, and WebSockets are closed."""
        self.draining = True
        for websocket in self._sockets:
            self._close(websocket)

    @contextlib.contextmanager
    def _call(self, connection: Connection) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - uvicorn runs each request as a task
        self.calls.add(task)
        connection.begin()
        try:
            yield
        finally:
            connection.end()
            self.calls.discard(task)
            self._changed()

    async def _websocket(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        websocket = _WebSocket(send)

        async def pass_on(message: Message) -> None:
            await websocket.pass_on(message)
            if message["type"] == "websocket.accept" and self.draining:
                self._close(websocket)

        self._sockets.add(websocket)
        try:
            await self._application(scope, receive, pass_on)
        finally:
            self._sockets.discard(websocket)

    def _close(self, websocket: _WebSocket) -> None:
        task = asyncio.ensure_future(websocket.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def date(self) -> bytes:
        """The time as HTTP writes it (RFC 9110, 5.6.7)."""
        now = int(time.time())
        if now != self._date[0]:
            self._date = (now, formatdate(now, usegmt=True).encode())
        return self._date[1]

    def answer(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        """A response was sent whole, or given up."""
        self.answered += 1
        if self._log:
            self._log(scope, status, seconds)


class _Request:
    """One HTTP request on its way through the middleware."""

    def __init__(
        self, traffic: Traffic, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        self._traffic = traffic
        self._scope = scope
        self._receive_next = receive
        self._send_next = send
        self._begun = time.perf_counter()
        self._status = 0
        self._ended = False
        self._read = False

    async def run(self, application: ASGIApplication) -> None:
        try:
            await application(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            if not self._traffic.draining:
                raise
            await self._refuse()
        finally:
            if not self._ended:
                self._end(self._status or 500)

    async def _refuse(self) -> None:
        """The time to stop is over; a client that has heard nothing yet is told so."""
        if not self._status:
            head = [(b"content-type", b"text/plain"), (b"content-length", str(len(_TOO_LATE)).encode())]
            await self._send({"type": "http.response.start", "status": 503, "headers": head})
            await self._send({"type": "http.response.body", "body": _TOO_LATE})

    async def _receive(self) -> Message:
        message = await self._receive_next()
        self._read = self._read or message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message = {**message, "headers": self._headers(message)}
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and self._traffic.draining:
            await self._read_rest()
        await self._send_next(message)
        if last and not self._ended:
            self._end(self._status)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", [])]
        if not any(name.lower() == b"date" for name, _ in headers):
            headers.append((b"date", self._traffic.date()))
        if self._traffic.draining:
            headers = [header for header in headers if header[0].lower() != b"connection"]
            headers.append((b"connection", b"close"))
        return headers

    async def _read_rest(self) -> None:
        """Read a body that the application left: closing on unread bytes resets the client before it has read."""
        if self._read or any(name == b"expect" for name, _ in self._scope["headers"]):
            return
        left = _MOST_UNREAD_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOST_UNREAD_SECONDS):
                while not self._read and left > 0:
                    left -= len((await self._receive()).get("body", b""))

    def _end(self, status: int) -> None:
        self._ended = True
        self._traffic.answer(self._scope, status, time.perf_counter() - self._begun)


class _WebSocket:
    """One WebSocket that can be closed from our side."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._accepted = False
        self._closed = False

    async def pass_on(self, message: Message) -> None:
        if self._closed:
            raise ConnectionResetError("the server closes this WebSocket")
        self._accepted = self._accepted or message["type"] == "websocket.accept"
        self._closed = message["type"] == "websocket.close"
        await self._send(message)

    async def close(self) -> None:
        """Say that the server restarts; one that is not accepted yet is closed as soon as it is."""
        if self._accepted and not self._closed:
            self._closed = True
            with contextlib.suppress(Exception):  # the client may have gone in the meantime
                await self._send({"type": "websocket.close", "code": _SERVICE_RESTART})
