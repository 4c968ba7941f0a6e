"""What the local socket answers, by what is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from projctl_agent import health, local, status
from projctl_agent.feed import KEYS
from projctl_agent.turns import Kept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projctl_agent.feed import Feed
    from projctl_agent.fleet import Fleet
    from projctl_agent.journal import Journal
    from projctl_agent.lifecycle import Ledger


class Answers:
    """Asks the agent's parts; `catch_up` makes the ledger as new as the journal."""

    def __init__(
        self,
        journal: Journal,
        fleet: Fleet,
        feed: Feed,
        ledger: Callable[[], Ledger],
        catch_up: Callable[[], Awaitable[None]],
        *,
        user: bool,
    ) -> None:
        self._journal, self._fleet, self._feed = journal, fleet, feed
        self._ledger, self._catch_up = ledger, catch_up
        self._user = user
        self._kept = Kept(self._make_status)

    def forget(self) -> None:
        """A unit has changed, or the journal had news."""
        self._kept.forget()

    def services(self) -> local.Services:
        """Whom to ask for what."""
        return {
            ("get", "status"): local.Answer(self._status),
            ("get", "health"): local.Answer(self._health),
            ("get", "events"): local.Stream(self._feed.serve, KEYS),
        }

    async def _status(self, _: local.Request) -> bytes:
        return await self._kept.ask()

    async def _make_status(self) -> bytes:
        await self._catch_up()
        survey = await self._fleet.survey()
        failures, watches = await self._fleet.failures(survey.failed), self._fleet.watches()
        now = time.monotonic()
        known = self._ledger().projects
        projects = {
            name: status.describe(
                survey.states.get(name), known.get(name), watches.get(name), failures.get(name), now
            )
            for name in sorted(known.keys() | survey.states.keys())
        }
        return local.line(projects=projects)

    async def _health(self, _: local.Request) -> bytes:
        found = await health.examine(self._journal, connected=self._fleet.connected, user=self._user)
        return local.line(health=found | {"subscribers": len(self._feed)})
