"""What the local socket answers, by what is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from projctl_agent import health, local, status
from projctl_agent.feed import KEYS
from projctl_agent.holding import Holding
from projctl_agent.names import is_of
from projctl_agent.turns import Kept, Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projctl_agent.feed import Feed
    from projctl_agent.fleet import Fleet
    from projctl_agent.holds import Holds
    from projctl_agent.journal import Journal
    from projctl_agent.lifecycle import Ledger


class Answers:
    """Asks the agent's parts; `catch_up` makes the ledger as new as the journal."""

    def __init__(
        self,
        journal: Journal,
        fleet: Fleet,
        feed: Feed,
        holds: Holds,
        ledger: Callable[[], Ledger],
        catch_up: Callable[[], Awaitable[None]],
        metrics: Callable[[str], Awaitable[tuple[bytes, str]]],
        *,
        user: bool,
    ) -> None:
        self._journal, self._fleet, self._feed = journal, fleet, feed
        self._ledger, self._catch_up, self._holds = ledger, catch_up, holds
        self._metrics = metrics
        self._holding = Holding(holds, fleet, self.forget, user=user)
        self._looks: Turns[bytes] = Turns()
        self._user = user
        self._kept = Kept(lambda: self._make_status(None))

    def follow_holds(self) -> None:
        """Tell of holds that end by their time from now on."""
        self._holding.follow()

    def forget(self) -> None:
        """A unit has changed, or the journal had news."""
        self._kept.forget()

    def services(self) -> local.Services:
        """Whom to ask for what."""
        return {
            ("get", "status"): local.Answer(self._status, frozenset({"project"})),
            ("get", "health"): local.Answer(self._health),
            ("get", "metrics"): local.Answer(self._tell_metrics),
            ("get", "events"): local.Stream(self._feed.serve, KEYS),
            **self._holding.services(),
        }

    async def _status(self, request: local.Request) -> bytes:
        name = request.more.get("project")
        if name is None:
            return await self._kept.ask()
        if not isinstance(name, str):
            raise local.RefusedError('"project" must be a name')
        return await self._looks.ask(name, lambda: self._make_status(name))

    async def _make_status(self, project: str | None) -> bytes:
        """Every known instance, or those of a project, looked at for that."""
        await self._catch_up()
        survey = await self._fleet.survey()
        failures, watches = await self._fleet.failures(survey.failed), self._fleet.watches()
        known = self._ledger().projects
        wanted = [name for name in known.keys() | survey.states if project is None or is_of(name, project)]
        glances = await self._fleet.glance(wanted) if project else {}
        now, clock = time.monotonic(), time.time()
        projects = {
            name: status.describe(
                survey.states.get(name), known.get(name), watches.get(name), failures.get(name), now,
                self._holds.current(name, clock), glances.get(name), self._fleet.remains.of(name),
            )
            for name in sorted(wanted)
        }  # fmt: skip
        return local.line(projects=projects)

    async def _tell_metrics(self, _: local.Request) -> bytes:
        text, _kind = await self._metrics("")
        return local.line(metrics=text.decode())

    async def _health(self, _: local.Request) -> bytes:
        found = await health.examine(self._journal, connected=self._fleet.connected, user=self._user)
        return local.line(health=found | {"subscribers": len(self._feed)})
