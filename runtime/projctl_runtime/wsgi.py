"""Serves a WSGI application (PEP 3333) as an ASGI one, each request in a thread of a pool."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from projctl_runtime.application import Receive, Send

Environ = dict[str, Any]
WSGIApplication = Callable[[Environ, Callable[..., Callable[[bytes], None]]], Iterable[bytes]]


class Bridge:
    """An ASGI application around a WSGI one; WebSockets are refused."""

    def __init__(self, application: WSGIApplication, threads: int) -> None:
        self._application = application
        self._pool = ThreadPoolExecutor(threads, "wsgi")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise RuntimeError(f"a WSGI application knows no {scope['type']}")
        loop = asyncio.get_running_loop()
        exchange = _Exchange(loop, send)
        body: io.BufferedIOBase = io.BufferedReader(_Input(loop, receive))
        call = copy_context().run
        await loop.run_in_executor(self._pool, call, exchange.run, self._application, _environ(scope, body))


class _Input(io.RawIOBase):
    """The request's body, read in the application's thread while the loop receives it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive) -> None:
        self._loop = loop
        self._receive = receive
        self._rest = b""
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        while not self._rest and self._more:
            message = asyncio.run_coroutine_threadsafe(_once(self._receive), self._loop).result()
            self._rest = message.get("body", b"")
            self._more = message.get("more_body", False)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


async def _once(receive: Receive) -> MutableMapping[str, Any]:
    return await receive()


class _Exchange:
    """One call of the application: its start_response, and what it sends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Send) -> None:
        self._loop = loop
        self._send = send
        self._head: MutableMapping[str, Any] | None = None
        self._sent = False

    def run(self, application: WSGIApplication, environ: Environ) -> None:
        chunks = application(environ, self._start_response)
        try:
            if isinstance(chunks, list | tuple) and len(chunks) == 1:
                self._finish(chunks[0])
                return
            for chunk in chunks:
                if chunk:
                    self._pass(_body(chunk, more=True))
            self._finish(b"")
        finally:
            if close := getattr(chunks, "close", None):
                close()

    def _start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: tuple[type[BaseException], BaseException, Any] | None = None,
    ) -> Callable[[bytes], None]:
        if self._sent and exc_info:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head is not None and not exc_info:
            raise RuntimeError("start_response was called twice")
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = {"type": "http.response.start", "status": int(status[:3]), "headers": encoded}
        return lambda chunk: self._pass(_body(chunk, more=True))

    def _finish(self, chunk: bytes) -> None:
        """Send the last chunk; a response that is whole by now gets its length."""
        if self._head and not self._sent and self._head["status"] not in (204, 304):
            names = {name for name, _ in self._head["headers"]}
            if not names & {b"content-length", b"transfer-encoding"}:
                self._head["headers"].append((b"content-length", str(len(chunk)).encode()))
        self._pass(_body(chunk, more=False))

    def _pass(self, message: MutableMapping[str, Any]) -> None:
        """Send, with the head before the first chunk; waits until the client takes it, so nothing piles up."""
        if self._head is None:
            raise RuntimeError("start_response was not called before the first chunk")
        messages = [message] if self._sent else [self._head, message]
        self._sent = True
        asyncio.run_coroutine_threadsafe(self._pass_all(messages), self._loop).result()

    async def _pass_all(self, messages: list[MutableMapping[str, Any]]) -> None:
        for message in messages:
            await self._send(message)


def _body(chunk: bytes, *, more: bool) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


def _environ(scope: MutableMapping[str, Any], body: io.BufferedIOBase) -> Environ:
    """PEP 3333's variables; bytes of the path and of headers stand as latin-1 text."""
    path = unquote_to_bytes(scope["raw_path"]) if scope.get("raw_path") else scope["path"].encode()
    host, port = scope.get("server") or ("localhost", None)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = scope["client"][0], str(scope["client"][1])
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        key = name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"
        joint = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joint}{value}" if key in environ else value
    return environ
