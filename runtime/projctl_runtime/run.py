"""Several servers in one process: started together, stopped together, watched by the service manager."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from projctl_runtime import notify, passed, ports
from projctl_runtime.failure import RunnerError
from projctl_runtime.server import Server, ServerConfig
from projctl_runtime.stopping import StopPolicy, drain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds between two reports of figures to the service manager.
_REPORT = 1.0


def run_all(configs: Sequence[ServerConfig], *, policy: StopPolicy | None = None) -> int:
    """Serve every application on the socket of its name until SIGTERM or SIGINT, and finish what was accepted.

    Sockets come from the service manager (LISTEN_FDS), else each is opened as its `listen` says. Raises
    RunnerError when it cannot start; returns, when it has stopped, how many requests were given up because the
    policy's time was over. Call it in the main thread.
    """
    names = [config.name for config in configs]
    if not names or len(set(names)) < len(names):
        raise RunnerError("must serve at least one application, each under a name of its own")
    found = passed.take()
    sockets = passed.match(names, found, alone=names == ["http"]) if found else {}
    fleet = _Fleet(policy or StopPolicy())
    fleet.servers = [Server(config, sockets.get(config.name), changed=fleet.report) for config in configs]
    runner = asyncio.Runner(loop_factory=_loop_factory())
    given_up = 0
    try:
        given_up = runner.run(fleet.run())
    finally:
        if not given_up:  # closing would wait for threads that hang
            runner.close()
    return given_up


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _Fleet:
    """All servers of this process."""

    def __init__(self, policy: StopPolicy) -> None:
        self.servers: list[Server] = []
        self._policy = policy
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reporting: asyncio.TimerHandle | None = None
        self._ready = False

    async def run(self) -> int:
        """Start, serve until a signal, stop; the number of requests given up."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)
        started: list[Server] = []
        watchdog = asyncio.ensure_future(_feed_watchdog())
        try:
            await self._start_unless_stopped(started)
            await self._stop.wait()
        finally:
            given_up = await self._end(started)
            watchdog.cancel()
        return given_up

    async def _start_unless_stopped(self, started: list[Server]) -> None:
        starting = asyncio.ensure_future(self._start(started))
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if starting.done():
            starting.result()
        starting.cancel()

    async def _start(self, started: list[Server]) -> None:
        for server in self.servers:
            await server.lifespan.startup()
            started.append(server)
        for server in self.servers:
            server.accept()
            for remark in server.remarks:
                _say(remark)
            where = ", ".join(ports.shown(listener) for listener in server.sockets)
            _say(f"serving {server.config.name} on {where}")
        self._ready = True
        notify.notify("READY=1", self._status())

    async def _end(self, started: list[Server]) -> int:
        notify.notify("STOPPING=1", "STATUS=finishing requests")
        self._ready = False
        begun = asyncio.get_running_loop().time()
        for server in self.servers:
            server.stop_accepting()
        given_up = await drain([server.traffic for server in self.servers], self._policy, self._hurry)
        if given_up:
            _say(f"gave up {given_up} unfinished request{'s' if given_up > 1 else ''}")
        left = self._policy.drain_timeout - (asyncio.get_running_loop().time() - begun)
        for server in reversed(started):
            if problem := await server.shutdown(max(left, 1.0)):
                _say(problem)
        return given_up

    def _signalled(self, number: int) -> None:
        if self._stop.is_set() and number == signal.SIGINT:
            self._hurry.set()  # a second Ctrl-C
        self._stop.set()

    def report(self) -> None:
        """Tell the service manager the figures, at most once a second."""
        if self._ready and self._reporting is None:
            self._reporting = asyncio.get_running_loop().call_later(_REPORT, self._report)

    def _report(self) -> None:
        self._reporting = None
        if self._ready:
            for server in self.servers:
                server.traffic.purge()
            notify.notify(self._status())

    def _status(self) -> str:
        answered = sum(server.traffic.answered for server in self.servers)
        connections = sum(len(server.traffic.connections) for server in self.servers)
        return f"STATUS={answered} requests served, {connections} connections"


async def _feed_watchdog() -> None:
    """Signs of life from the event loop itself, so that the manager sees one that hangs."""
    interval = notify.watchdog_interval()
    while interval:
        notify.notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"projctl-serve: {text}", file=sys.stderr, flush=True)  # noqa: T201
