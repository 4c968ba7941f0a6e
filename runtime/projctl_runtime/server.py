"""One application served on its sockets: accepts by itself, has uvicorn speak HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.server import ServerState

from projctl_runtime import application, ports
from projctl_runtime.connection import Connection
from projctl_runtime.lifespan import Lifespan
from projctl_runtime.stopping import StopPolicy, drain
from projctl_runtime.traffic import CONNECTION, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence
    from types import TracebackType

    from projctl_runtime.application import Interface
    from projctl_runtime.lifespan import Mode

#: Connections taken in one go, so that a flood of them does not keep requests waiting.
_AT_ONCE = 64
#: Seconds without accepting after the process ran out of descriptors or memory.
_PAUSE = 0.5
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class ServerConfig:
    """What to serve and how.

    `app` is an ASGI or WSGI application or its name, `MODULE:APP` or `MODULE:FACTORY()`. `name` is the socket's
    (FileDescriptorName=). `listen` says where to listen when no service manager passes sockets: `3400`,
    `3400,3410-3419`, `HOST:PORTS` or a path. `threads` bounds the concurrent calls of a WSGI application,
    `keep_alive` is how many seconds a connection may wait for its next request.
    """

    app: object
    name: str = "http"
    listen: str | None = None
    interface: Interface = "auto"
    lifespan: Mode = "auto"
    threads: int = 10
    keep_alive: int = 5
    access_log: bool = False


def _nothing() -> None:
    pass


class Server:
    """Serves one application; start, stop accepting, drain and shut down are steps of their own.

    As an asynchronous context manager it starts, and at the end drains and shuts down.
    """

    def __init__(
        self,
        config: ServerConfig,
        sockets: Sequence[socket.socket] | None = None,
        *,
        changed: Callable[[], None] = _nothing,
    ) -> None:
        """Load the application and, without `sockets`, open one; raises RunnerError when either cannot be done."""
        self.config = config
        self.remarks: list[str] = []
        loaded = application.load(config.app) if isinstance(config.app, str) else config.app
        asgi = application.as_asgi(loaded, config.name, config.interface, config.threads)
        self.traffic = Traffic(asgi, self._log if config.access_log else None, changed)
        self.lifespan = Lifespan(asgi, config.name, config.lifespan)
        self._passed = sockets is not None
        self.sockets = list(sockets) if sockets is not None else [self._open()]
        self._uvicorn = uvicorn.Config(
            self.traffic,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=config.keep_alive,
        )
        self._uvicorn.load()
        self._state = ServerState()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._listening: set[socket.socket] = set()

    def _open(self) -> socket.socket:
        host = os.environ.get("HOST") or "127.0.0.1"
        opened, self.remarks = ports.open_first(self.config.name, self.config.listen or ports.DEFAULT, host)
        return opened

    async def start(self) -> None:
        """Run the application's startup, then accept; raises RunnerError when the startup fails."""
        await self.lifespan.startup()
        self.accept()

    def accept(self) -> None:
        """Begin to accept connections."""
        for listener in self.sockets:
            listener.setblocking(False)
            self._listen(listener)

    def stop_accepting(self) -> None:
        """Take no more connections. Those in a passed socket's queue stay there for whoever serves it next."""
        loop = asyncio.get_running_loop()
        for listener in self.sockets:
            if listener in self._listening:
                loop.remove_reader(listener)
                self._listening.discard(listener)
                if not self._passed:
                    while self._accept_one(listener):  # closing our own socket would reset them
                        pass
            listener.close()

    async def drain(self, policy: StopPolicy | None = None) -> int:
        """Stop accepting and finish what was accepted; the number of requests given up."""
        self.stop_accepting()
        return await drain([self.traffic], policy or StopPolicy(), asyncio.Event())

    async def shutdown(self, seconds: float = 5.0) -> str | None:
        """Run the application's shutdown; what went wrong, if anything."""
        return await self.lifespan.shutdown(seconds)

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()
        await self.shutdown()

    def _listen(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)
        self._listening.add(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if not self._accept_one(listener):
                return

    def _accept_one(self, listener: socket.socket) -> bool:
        """Accept a connection; False when none waits."""
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED and listener in self._listening:
                self._pause(listener, error)
                return False
            return error.errno == errno.ECONNABORTED
        accepted.setblocking(False)
        if accepted.family in (socket.AF_INET, socket.AF_INET6):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._serve(accepted)
        return True

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        print(f"projctl-serve: cannot accept: {error.strerror}", file=sys.stderr)  # noqa: T201
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_PAUSE, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listening:
            self._listen(listener)

    def _serve(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self.traffic)
        state = {**self.lifespan.state, CONNECTION: connection}
        make: Any = self._uvicorn.http_protocol_class
        connection.inner = make(config=self._uvicorn, server_state=self._state, app_state=state)
        self.traffic.add(connection)
        task = loop.create_task(self._connect(connection, accepted))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            self.traffic.connections.discard(connection)
            accepted.close()

    def _log(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        client = scope["client"][0] if scope.get("client") else "-"
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        target = (scope["raw_path"] + query).decode("ascii", "backslashreplace").replace('"', "%22")
        line = f'{self.config.name} {client} "{scope["method"]} {target}" {status} {seconds:.4f}'
        with contextlib.suppress(OSError):  # a log that nobody reads any more must not fail requests
            print(line, flush=True)  # noqa: T201
