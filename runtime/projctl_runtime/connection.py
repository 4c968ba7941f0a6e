"""One accepted connection: everything passes on to uvicorn's protocol, and it is known when it may be closed."""

from __future__ import annotations

import array
import asyncio
import fcntl
import termios
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from projctl_runtime.stopping import StopPolicy
    from projctl_runtime.traffic import Traffic

#: Seconds between two looks whether a WebSocket that has ended is closed.
_LOOK = 0.5


class Connection(asyncio.Protocol):
    """The protocol that the event loop sees; `inner` is uvicorn's, set by whoever accepts.

    `working` counts its requests that an application is at work on.
    """

    inner: asyncio.Protocol

    def __init__(self, loop: asyncio.AbstractEventLoop, traffic: Traffic) -> None:
        self.working = 0
        self._loop = loop
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None
        self._upgraded = False
        self._partial = True  # its first request is still to come
        self._heard_at = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if not self.working:
            self._partial = True
        self.inner.data_received(data)
        if self._transport and self._transport.get_protocol() is not self:
            # A WebSocket's protocol has taken the transport over; nothing more comes by here.
            self._upgraded = True

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._traffic.connections.discard(self)
        self.inner.connection_lost(exc)

    def begin(self) -> None:
        """An application starts on a request."""
        self.working += 1
        self._partial = False

    def end(self) -> None:
        """An application has ended a request."""
        self.working -= 1
        self._heard_at = self._loop.time()
        if self._upgraded:
            self._forget_when_gone()

    def _forget_when_gone(self) -> None:
        """The end of a WebSocket's connection is told to its own protocol only, so look until it is there."""
        if self.gone:
            self._traffic.connections.discard(self)
        else:
            self._loop.call_later(_LOOK, self._forget_when_gone)

    @property
    def gone(self) -> bool:
        """Whether a connection that nobody tells us of any more is closed and has sent everything."""
        transport = self._transport
        return self._upgraded and bool(
            transport and transport.is_closing() and not transport.get_write_buffer_size()
        )

    def close_if_silent(self, since: float, policy: StopPolicy) -> None:
        """Close it when nothing is under way and nothing has come for the policy's time, from `since` on at least.

        A client that sends at this very moment would lose its request: hence the time, and the look into the
        kernel's buffer.
        """
        if self.working or self._transport is None or self._upgraded or self._transport.is_closing():
            return
        silence = self._loop.time() - max(since, self._heard_at)
        if silence >= (policy.patience if self._partial else policy.linger) and not self._unread():
            self._transport.close()

    def _unread(self) -> int:
        """Bytes that have arrived and were not yet read."""
        assert self._transport is not None  # noqa: S101 - narrows the type
        size = array.array("i", [0])
        try:
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, size)
        except (OSError, ValueError):
            return 0
        return size[0]

    def abort(self) -> None:
        """Drop it, unsent bytes included."""
        if self._transport:
            self._transport.abort()
