"""Takes orders on the helper's socket: from root and the socket's owner, one JSON object a line."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from projctl_agent.admission import peer_uid
from projctl_agent.bus import Bus, BusError, Listener
from projctl_agent.helper import ours, requests
from projctl_agent.helper.requests import RefusedError, Request, Verb
from projctl_agent.notify import listening_sockets, notify

if TYPE_CHECKING:
    import socket

#: Seconds without a connection after which the helper ends; its socket starts it again.
_LINGER = 30.0


async def run(stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set or nobody asks any more. Raises BusError or OSError when it cannot begin."""
    listener = listening_sockets().get("helper")
    if listener is None:
        raise OSError("cannot work alone: systemd starts it through projctl-agent-helper.socket")
    bus = await Bus.connect(Listener(lambda _unit, _changed: None, lambda: None), user=False)
    desk = _Desk(bus, listener, stopping)
    server = await asyncio.start_unix_server(desk.serve, sock=listener, limit=requests.LONGEST)
    notify("READY=1")
    ends = [asyncio.ensure_future(wait) for wait in (bus.lost(), stopping.wait())]
    desk.linger()
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    notify("STOPPING=1")
    server.close()
    bus.close()
    for end in ends:
        end.cancel()


class _Desk:
    """Who may ask, and the clock that runs while nobody does."""

    def __init__(self, bus: Bus, listener: socket.socket, stopping: asyncio.Event) -> None:
        self._bus = bus
        self._trusted = {0, Path(listener.getsockname()).stat().st_uid}
        self._stopping = stopping
        self._open = 0
        self._end: asyncio.TimerHandle | None = None

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
        while line := await reader.readline():
            writer.write(await self._reply(line))
            await writer.drain()

    async def _reply(self, line: bytes) -> bytes:
        try:
            request = requests.parse(line)
            await ours.check(self._bus, request.unit)
            await self._do(request)
        except (RefusedError, BusError) as error:
            return _answer(error=str(error))
        return _answer(done=request.unit)

    async def _do(self, request: Request) -> None:
        if request.verb is Verb.START:
            await self._bus.start_unit(request.unit)
        elif request.verb is Verb.RESET:
            await self._bus.reset_failed(request.unit)


def _answer(**fields: object) -> bytes:
    return requests.line(version=requests.VERSION, **fields)
