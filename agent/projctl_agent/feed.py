"""Events as they happen, for all who subscribed on the local socket: each is written down once, for all."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

from projctl_agent.admission import Places
from projctl_agent.history import History, Window
from projctl_agent.joining import PATIENCE, Joining
from projctl_agent.local import RefusedError, drain, line
from projctl_agent.turns import first_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from projctl_agent.event import Event
    from projctl_agent.journal import Bell, Journal
    from projctl_agent.local import Request

_LOG = logging.getLogger("projctl-agent")
KEYS = frozenset({"since", "after"})
#: Bytes that may wait for a subscriber; one who takes no more than that for so long is too slow.
_MOST = 1 << 20
#: Events of the past that are read at once, beside the loop.
_CHUNK = 2000
#: Seconds after the first new entry until it is read: they come in bursts. And until a failed read is repeated.
_SETTLE, _RETRY = 0.1, 1.0
_LONGEST_CURSOR = 512


class Subscriber:
    """One who takes events; while the past is told, `held` keeps what happens meanwhile."""

    def __init__(self, writer: asyncio.StreamWriter, told: frozenset[str]) -> None:
        self._writer = writer
        self._told = told
        self._held: list[bytes] | None = []
        self._waiting = 0
        self.dropped = asyncio.Event()

    def give(self, events: list[Event], lines: list[bytes], joined: bytes) -> None:
        """Hand on these lines, but for those of entries that the past has told."""
        if self._told and not self._told.isdisjoint(event.cursor for event in events):
            joined = b"".join(
                text for event, text in zip(events, lines, strict=True) if event.cursor not in self._told
            )
        if self._held is None:
            self._writer.write(joined)
            self._waiting = self._writer.transport.get_write_buffer_size()
        else:
            self._held.append(joined)
            self._waiting += len(joined)
        if self._waiting > _MOST:
            self.dropped.set()

    async def take(self, lines: bytes) -> None:
        """Lines of the past."""
        self._writer.write(lines)
        await drain(self._writer)

    def go_live(self) -> None:
        """The past is told."""
        self._writer.write(b"".join(self._held or ()))
        self._held = None


class Feed:
    """The subscribers. `cursor` is where the agent's reading stands, `read` makes it go on, and calls `take`."""

    def __init__(
        self, journal: Journal, cursor: Callable[[], str], read: Callable[[], Awaitable[None]]
    ) -> None:
        self._journal = journal
        self._cursor = cursor
        self._read = read
        self._places = Places(each=8, every=256, kept=64)
        self._subscribers: list[Subscriber] = []
        self._joining = Joining()
        self._ready: list[Event] = []
        self._follower: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._past = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._subscribers)

    def take(self, events: Iterable[Event], cursor: str) -> None:
        """New events of the entry with this cursor; nobody gets them before `publish`."""
        if self._subscribers:
            self._ready += self._joining.feed(event._replace(cursor=cursor) for event in events)

    def publish(self) -> None:
        """Give what is complete to all subscribers, and a little later what waits for more."""
        if self._joining.holds and not self._timer:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._flush)
        events, self._ready = self._ready, []
        if not events:
            return
        lines = [event.line(cursor=event.cursor).encode() for event in events]
        joined = b"".join(lines)
        for subscriber in self._subscribers:
            subscriber.give(events, lines, joined)
        self._subscribers = [one for one in self._subscribers if not one.dropped.is_set()]

    def _flush(self) -> None:
        self._timer = None
        self._ready += self._joining.flush()
        self.publish()

    async def serve(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Tell one subscriber of events until it goes. Raises RefusedError."""
        since, after = _wanted(request)
        with self._places.take(request.uid) as free:
            if not free:
                raise RefusedError("too many subscribers")
            await self._read()  # what was before is not told as if it happened now
            subscriber = Subscriber(writer, self._unpublished() if request.more else frozenset())
            self._add(subscriber)
            try:
                past = self._tell(
                    subscriber, self._history(after) if request.more else None, Window.of(since, None)
                )
                writer.write(line(subscribed=True))
                await first_of(_gone(reader), subscriber.dropped.wait(), past)
            finally:
                self._remove(subscriber)
            if subscriber.dropped.is_set():
                raise RefusedError("too slow: more than 1 MiB waited to be read")

    def _history(self, after: str) -> History:
        """The past up to what has been read; what comes is told live."""
        try:
            return History(self._journal, after, self._cursor())
        except ValueError:
            raise RefusedError('"after" must be the cursor of an event') from None

    def _unpublished(self) -> frozenset[str]:
        """The entries that were read already, and whose events are still to be given to all."""
        return frozenset(event.cursor for event in (*self._ready, *self._joining))

    def _add(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._follow())

    def _remove(self, subscriber: Subscriber) -> None:
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)
        if not self._subscribers and self._follower:
            self._follower.cancel()
            self._follower, self._joining, self._ready = None, Joining(), []

    async def _follow(self) -> None:
        """Read on as soon as the journal has news: not all of it comes with a change of a unit."""
        while True:
            try:
                with closing(self._journal.bell(self._cursor())) as bell:
                    await _ring(bell)
                await asyncio.sleep(_SETTLE)
                await self._read()
            except OSError as error:
                _LOG.warning("cannot follow the journal: %s", error)
                await asyncio.sleep(_RETRY)

    async def _tell(self, subscriber: Subscriber, past: History | None, window: Window) -> None:
        """The past first, in chunks: others want to be served meanwhile. Then it goes on for ever."""
        events = past.read() if past and self._journal.has(past.upto) else iter(())
        while past:
            async with self._past:
                begun = time.monotonic()
                chunk = await asyncio.to_thread(_chunk, events, window)
                await asyncio.sleep(min(time.monotonic() - begun, 0.5))
            if chunk is None:
                break
            await subscriber.take(chunk)
        subscriber.go_live()
        await asyncio.Future()


def _chunk(events: Iterator[Event], window: Window) -> bytes | None:
    found = list(itertools.islice(events, _CHUNK))
    lines = [event.line(cursor=event.cursor) for event in found if event in window]
    return "".join(lines).encode() if found else None


async def _ring(bell: Bell) -> None:
    """Wait until it rings."""
    loop, rung = asyncio.get_running_loop(), asyncio.Event()

    def look() -> None:
        if bell.rings():
            rung.set()

    loop.add_reader(bell.fileno(), look)
    try:
        look()
        await rung.wait()
    finally:
        loop.remove_reader(bell.fileno())


async def _gone(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass  # there is nothing more to be asked


def _wanted(request: Request) -> tuple[float | None, str]:
    """From when on, and after which entry. Raises RefusedError."""
    since, after = request.more.get("since"), request.more.get("after", "")
    if since is not None and (not isinstance(since, int | float) or isinstance(since, bool)):
        raise RefusedError('"since" must be a number, in seconds since 1970')
    if not isinstance(after, str) or len(after) > _LONGEST_CURSOR or ("after" in request.more and not after):
        raise RefusedError('"after" must be the cursor of an event')
    return since, after
