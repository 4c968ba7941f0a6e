"""The agent's local socket: a line of JSON asks or orders, and lines of JSON answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from projctl_agent.admission import Places, peer_uid

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping

_LONGEST_REQUEST = 4096
#: Seconds for a request to arrive, and for its answer to be made and taken.
_SILENCE, _PATIENCE = 1.0, 10.0
#: What quietly ends a connection; asyncio would log a traceback for each one that is cancelled.
_ENDS = (OSError, TimeoutError, asyncio.CancelledError)
VERSION = 1


class RefusedError(Exception):
    """What was asked is not answered; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked (`{"get":"status"}`: get, status), the keys beside that, and the user who asks."""

    verb: str
    what: str
    more: dict[str, Any]
    uid: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers one request by a line. Raises RefusedError. `keys` may stand beside verb and what."""

    answer: Callable[[Request], Awaitable[bytes]]
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Stream:
    """What answers by lines until the asker goes; it admits by rules of its own. Raises RefusedError before any."""

    serve: Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    keys: frozenset[str] = frozenset()


#: By verb and what.
Services = dict[tuple[str, str], Answer | Stream]


async def serve(listener: socket.socket, services: Services) -> asyncio.Server:
    """Answer on this socket until the server is closed."""
    places = Places()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        try:
            await _converse(reader, writer, places, services)
        except _ENDS:
            writer.transport.abort()  # nobody takes what is left
        finally:
            writer.close()

    # Not start_unix_server: from Python 3.13 on it removes the socket's path, which is systemd's, when it closes.
    return await asyncio.start_server(handle, sock=listener, limit=_LONGEST_REQUEST)


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, places: Places, services: Services
) -> None:
    uid = peer_uid(writer.get_extra_info("socket"))
    try:
        with places.take(uid) as free:
            if not free:
                raise RefusedError("too many connections")
            request = await _read(reader, uid, services)
            service = services[request.verb, request.what]
            if isinstance(service, Answer):
                return await _send(writer, lambda: service.answer(request))
        await service.serve(request, reader, writer)
    except RefusedError as refusal:
        text = line(error=str(refusal))
        await _send(writer, lambda: asyncio.sleep(0, text))


async def _send(writer: asyncio.StreamWriter, answer: Callable[[], Awaitable[bytes]]) -> None:
    async with asyncio.timeout(_PATIENCE):
        writer.write(await answer())
    await drain(writer)


async def drain(writer: asyncio.StreamWriter) -> None:
    """Wait until the asker has taken all. Raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE):
        await writer.drain()


async def _read(reader: asyncio.StreamReader, uid: int, services: Services) -> Request:
    """The request that arrives. Raises RefusedError, or TimeoutError."""
    try:
        async with asyncio.timeout(_SILENCE):
            return parse(json.loads(await reader.readline()), uid, services)
    except (ValueError, RecursionError):
        raise RefusedError("must be one line of JSON") from None


def parse(data: object, uid: int, services: Mapping[tuple[str, str], Answer | Stream]) -> Request:
    """The request that an object is. Raises RefusedError for what no service answers."""
    if isinstance(data, dict):
        for (verb, what), service in services.items():
            if data.get(verb) == what:
                more = {key: value for key, value in data.items() if key != verb}
                if unknown := sorted(more.keys() - service.keys):
                    raise RefusedError(f"unknown key {json.dumps(unknown[0])}{_known(service.keys)}")
                return Request(verb, what, more, uid)
    known = ", ".join(f'{{"{verb}":"{what}"}}' for verb, what in services)
    raise RefusedError(f"unknown request, must be one of: {known}")


def _known(keys: frozenset[str]) -> str:
    return f", must be one of: {', '.join(sorted(keys))}" if keys else ""


def line(**fields: object) -> bytes:
    """An answer as it is sent."""
    return json.dumps({"version": VERSION, **fields}, separators=(",", ":")).encode() + b"\n"
