"""Takes orders on the helper's socket: from root and the socket's owner, one JSON object a line."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from projctl_agent.admission import peer_uid
from projctl_agent.bus import Bus, BusError, Listener
from projctl_agent.helper import holders, ours, requests
from projctl_agent.helper.freezer import Freezer
from projctl_agent.helper.requests import RefusedError, Request, Verb
from projctl_agent.names import paused_by
from projctl_agent.notify import give_signs_of_life, listening_sockets, notify

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection

#: Seconds without a connection after which the helper ends; its socket starts it again.
_LINGER = 30.0
#: Seconds for an order: whoever gave it may have gone meanwhile, and what is frozen for him thaws when it is over.
_PATIENCE = 20.0


async def run(stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set or nobody asks any more. Raises BusError or OSError when it cannot begin."""
    listener = listening_sockets().get("helper")
    if listener is None:
        raise OSError("cannot work alone: systemd starts it through projctl-agent-helper.socket")
    desk = _Desk(listener, stopping)
    bus = await desk.connect()
    # Not start_unix_server: from Python 3.13 on it removes the socket's path, which is systemd's, when it closes.
    server = await asyncio.start_server(desk.serve, sock=listener, limit=requests.LONGEST)
    notify("READY=1")
    desk.linger()
    waits = [asyncio.ensure_future(wait) for wait in (bus.lost(), stopping.wait(), give_signs_of_life())]
    try:
        await asyncio.wait(waits[:2], return_when=asyncio.FIRST_COMPLETED)
    finally:
        notify("STOPPING=1")
        server.close()
        desk.close()
        for wait in waits:
            wait.cancel()


class _Desk:
    """Who may ask, and the clock that runs while nobody does."""

    def __init__(self, listener: socket.socket, stopping: asyncio.Event) -> None:
        self._trusted = {0, Path(listener.getsockname()).stat().st_uid}
        self._stopping = stopping
        self._open = 0
        self._end: asyncio.TimerHandle | None = None
        # systemd tells of changes before all is connected, when nothing can be frozen yet.
        self._unit_changed: Callable[[str, dict[str, Any]], None] = lambda _unit, _changed: None

    async def connect(self) -> Bus:
        """Connect to systemd. Raises BusError."""
        listener = Listener(lambda unit, changed: self._unit_changed(unit, changed), lambda: None)
        self._bus = await Bus.connect(listener, user=False)
        self._freezer = Freezer(self._bus)
        self._unit_changed = self._freezer.unit_changed
        return self._bus

    def close(self) -> None:
        """Thaw everything and leave."""
        self._freezer.close()
        self._bus.close()

    def linger(self) -> None:
        """End after a while unless somebody asks."""
        if not self._open:
            self._end = asyncio.get_running_loop().call_later(_LINGER, self._stopping.set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._end:
            self._end.cancel()
        self._open += 1
        try:
            with contextlib.suppress(OSError, ValueError, asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            self._open -= 1
            writer.close()
            self.linger()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if peer_uid(writer.get_extra_info("socket")) not in self._trusted:
            writer.write(_answer(error="only root and the agent may ask"))
            return

        def tell(service: str, reason: str) -> None:
            writer.write(_answer(thawed=service, reason=reason))

        try:
            while line := await reader.readline():
                writer.write(await self._reply(line, tell))
                await writer.drain()
        finally:
            self._freezer.release(tell)

    async def _reply(self, line: bytes, tell: Callable[[str, str], None]) -> bytes:
        try:
            request = requests.parse(line)
            if request.verb is Verb.HOLDERS:
                # In a thread: what is frozen must not wait until all processes are looked through.
                return _answer(holders=await asyncio.to_thread(_find, request.inodes))
            # A reclaim takes its time, and is asked on a connection of its own.
            async with asyncio.timeout(None if request.verb is Verb.RECLAIM else _PATIENCE):
                await self._check(request)
                await self._do(request, tell)
        except TimeoutError:
            return _answer(error=f"systemd gives no answer within {_PATIENCE:g} s")
        except (RefusedError, BusError) as error:
            return _answer(error=str(error))
        return _answer(done=request.unit)

    async def _check(self, request: Request) -> None:
        # What is frozen was checked then, and thaws even where its file has gone or systemd does not answer.
        if request.verb is not Verb.THAW or not self._freezer.holds(request.unit):
            # The template of pauses is the agent's own, and comes from a package as it is; whom it holds up does not.
            await ours.check(self._bus, paused_by(request.unit) or request.unit)

    async def _do(self, request: Request, tell: Callable[[str, str], None]) -> None:
        match request.verb:
            case Verb.START:
                await self._bus.start_unit(request.unit)
            case Verb.RESET:
                await self._bus.reset_failed(request.unit)
            case Verb.FREEZE:
                await self._freezer.freeze(request.unit, tell)
            case Verb.RECLAIM:
                await self._freezer.reclaim(request.unit)
            case Verb.THAW:
                self._freezer.thaw(request.unit)
            case Verb.COUNT:
                await ours.check_counting(self._bus, request.unit)
                await self._bus.count_bytes(request.unit)


def _find(inodes: Collection[int]) -> list[int]:
    try:
        return holders.find(inodes)
    except OSError as error:
        raise RefusedError(f"cannot look who holds them: {error}") from None


def _answer(**fields: object) -> bytes:
    return requests.line(version=requests.VERSION, **fields)
