"""The agent's parts put together: journal to ledger, ledger and fleet to metrics and status."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from projctl_agent import checkpoint, httpd, local, tracks
from projctl_agent.answers import Answers
from projctl_agent.bus import BusError
from projctl_agent.feed import Feed
from projctl_agent.fleet import Fleet
from projctl_agent.holds import Holds
from projctl_agent.journal import Journal, Scope
from projctl_agent.lifecycle import Ledger
from projctl_agent.notify import give_signs_of_life, listening_sockets, notify
from projctl_agent.rest import Rest
from projctl_agent.scrape import Scrape
from projctl_agent.turns import Turns, first_of

if TYPE_CHECKING:
    from pathlib import Path

    from projctl_agent.idle import Track

_LOG = logging.getLogger("projctl-agent")
#: Seconds after a change until its entries are read: they come in bursts.
_SETTLE = 1.0
#: Seconds between two times that what is known is saved; what a crash loses is read again from the journal.
_SAVE_AFTER = 30.0
#: Entries that are taken between two breaths of the event loop.
_BATCH = 1000


class Agent:
    """All that runs in the process; `state` is its directory, None where nothing can be kept."""

    def __init__(self, scope: Scope, state: Path | None, *, user: bool) -> None:
        self._journal = Journal(scope)
        self._state_file = state and state / "checkpoint.json"
        self._tracks_file = state and state / "tracks.json"
        self._user = user
        self._ledger, self._cursor = self._restore()
        self._saved = self._cursor
        self._holds = self._restore_holds(state)
        self._fleet = Fleet(
            lambda: self._ledger,
            self._news,
            self._moved,
            _LOG.warning,
            self._restore_tracks(),
            self._holds.held_until,
        )
        self._restore_remains(state)
        self._rests = (self._rest(), self._rest())
        self._fleet.shared.looked = self._awake
        self._saved_uses = _uses(self._fleet.tracks())
        self._reading = asyncio.Lock()
        self._soon: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._scrapes: Turns[tuple[bytes, str]] = Turns()
        self._figures = Scrape(scope, lambda: self._ledger, self._fleet, state, _LOG.warning)
        self._feed = Feed(self._journal, lambda: self._cursor, self.catch_up)
        self._answers = Answers(
            self._journal,
            self._fleet,
            self._feed,
            self._holds,
            lambda: self._ledger,
            self.catch_up,
            self.metrics,
            user=user,
        )

    def _rest(self) -> Rest:
        return Rest(lambda: bool(self._fleet.watches()), lambda: self._fleet.planned())

    def _restore(self) -> tuple[Ledger, str]:
        if self._state_file is None:
            return Ledger(), ""
        try:
            return checkpoint.load(self._state_file)
        except ValueError as error:
            _LOG.warning("cannot use the checkpoint, reading the whole journal: %s", error)
            return Ledger(), ""

    def _restore_tracks(self) -> dict[str, Track]:
        if self._tracks_file is None:
            return {}
        try:
            return tracks.load(self._tracks_file)
        except ValueError as error:
            _LOG.warning("cannot use what was known of running projects: %s", error)
            return {}

    def _restore_remains(self, state: Path | None) -> None:
        if state is None:
            return
        try:
            self._fleet.remains.load(state / "remains.json")
        except ValueError as error:
            _LOG.warning("cannot use what was known of processes that runs left: %s", error)

    def _restore_holds(self, state: Path | None) -> Holds:
        holds = Holds(state and state / "holds.json")
        try:
            holds.load()
        except ValueError as error:
            _LOG.warning("cannot use what was known of holds: %s", error)
        return holds

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set. Raises BusError or OSError when the agent cannot begin."""
        await self.catch_up()
        self._ledger.turn_boot(self._journal.boot())
        bus = await self._fleet.connect(user=self._user)
        servers = await self._serve()
        self._answers.follow_holds()
        notify("READY=1\nSTATUS=watching")
        chores = [
            asyncio.create_task(work)
            for work in (give_signs_of_life(self._rests[0]), self._keep(self._rests[1]))
        ]
        try:
            while not stopping.is_set():
                await first_of(bus.lost(), stopping.wait())
                if not stopping.is_set():
                    self._fleet.disconnect()
                    again = asyncio.create_task(self._reconnect())
                    # At a shutdown the bus goes at the same time, and for good.
                    await first_of(again, stopping.wait())
                    bus = bus if again.cancelled() else again.result()
        finally:
            notify("STOPPING=1")
            for chore in chores:
                chore.cancel()
            for server in servers:
                server.close()
            await self._figures.finish()
            self._fleet.disconnect()
            await self._settle()

    async def _serve(self) -> list[asyncio.Server]:
        passed = listening_sockets()
        servers = []
        if listener := passed.get("metrics"):
            servers.append(await httpd.serve(listener, self.metrics))
        if listener := passed.get("local"):
            servers.append(await local.serve(listener, self._answers.services()))
        return servers

    async def _reconnect(self) -> Any:  # noqa: ANN401
        _LOG.warning("lost the connection to the bus, trying again")
        pause = 0.2
        while True:
            self._news()  # nothing tells of changes meanwhile, and the journal may be vacuumed
            try:
                bus = await self._fleet.connect(user=self._user)
            except BusError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 10.0)
                continue
            _LOG.warning("connected to the bus again")
            self._news()
            return bus

    def _news(self) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_SETTLE, self._read_soon)

    def _moved(self) -> None:
        self._answers.forget()
        self._awake()

    def _awake(self) -> None:
        for rest in self._rests:
            rest.disturb()

    def _read_soon(self) -> None:
        self._soon = None
        task = asyncio.get_running_loop().create_task(self.catch_up())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _LOG.warning("cannot read the journal: %s", error)

    async def catch_up(self) -> None:
        """Feed the ledger all that the journal has beyond the cursor. Raises OSError."""
        async with self._reading:
            cursor = self._cursor
            try:
                entries = self._journal.read(cursor)
                for count, (entry, after) in enumerate(entries, 1):
                    events = self._ledger.feed([entry]) if entry else []
                    self._feed.take(events, after)
                    if entry:
                        self._figures.feed(entry, events)
                    self._cursor = after
                    if count % _BATCH == 0:
                        await asyncio.sleep(0)
            except ValueError:
                _LOG.warning("cannot use the journal cursor, reading the whole journal")
                self._ledger, self._cursor = Ledger(), ""
                self._figures.again()
                self._news()
            else:
                self._figures.fed()
        self._feed.publish()
        if self._cursor != cursor:
            self._answers.forget()
            self._awake()

    def _save(self) -> None:
        if self._state_file is None or self._saved == self._cursor:
            return
        try:
            checkpoint.save(self._state_file, self._ledger, self._cursor)
            self._saved = self._cursor
        except OSError as error:
            _LOG.warning("cannot save the checkpoint: %s", error)

    async def _keep(self, rest: Rest) -> None:
        """What no change asks for: use, and the figures of what runs."""
        while True:
            await rest.turn(_SAVE_AFTER)
            self._save()
            while not await self._keep_figures():
                pass  # as much as a scrape waits for, again and again: it breathes meanwhile
            uses = _uses(self._fleet.tracks())
            if uses != self._saved_uses:
                self._save_tracks()
                self._saved_uses = uses

    async def _keep_figures(self) -> bool:
        done = True
        try:
            done = await self._figures.look()
        except OSError as error:
            _LOG.warning("cannot read the journal: %s", error)
        self._figures.save(surely=True)
        return done

    def _save_tracks(self) -> None:
        if self._tracks_file is None:
            return
        try:
            tracks.save(self._tracks_file, self._fleet.tracks())
        except OSError as error:
            _LOG.warning("cannot save what is known of running projects: %s", error)

    async def _settle(self) -> None:
        if self._soon:
            self._soon.cancel()
        for task in list(self._tasks):
            task.cancel()
        with contextlib.suppress(OSError):
            await self.catch_up()
        if self._soon:
            self._soon.cancel()
        self._figures.save(surely=True)
        self._save()
        self._save_tracks()

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """The metrics as they are now, and their content type."""
        from projctl_agent.metrics import form  # 10 MB that only a scrape needs

        self._awake()
        kind = form(accept)
        return await self._scrapes.ask(kind, lambda: self._scrape(kind))

    async def _scrape(self, accept: str) -> tuple[bytes, str]:
        await self.catch_up()
        return await self._figures.render(accept)


def _uses(known: dict[str, Track]) -> dict[str, tuple[float, str]]:
    return {invocation: (track.last_use, track.last_reason) for invocation, track in known.items()}
