"""What is looked up for a scrape, and in between so that nothing is missed or shown twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl_agent import cgroup
from projctl_agent.access.logs import AccessLogs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projctl_agent.fleet import Fleet
    from projctl_agent.journal import Scope
    from projctl_agent.lifecycle import Ledger
    from projctl_agent.metrics import Exposition

#: Seconds that access logs may take of one scrape, or of one turn in between; the next one goes on.
_ACCESS_LOGS = 2.0


class Scrape:
    """Gathers what the journal does not tell by itself; `state` is the agent's directory, None for none."""

    def __init__(self, scope: Scope, fleet: Fleet, state: Path | None, report: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._logs = AccessLogs(scope, state and state / "access.json", report)
        self._exposition: Exposition | None = None

    async def look(self) -> bool:
        """Take over what is new; whether that was all. Raises OSError where the journal cannot be read."""
        self._logs.seen(self._fleet.seen())
        return await self._logs.read(_ACCESS_LOGS)

    def save(self) -> None:
        """Keep what was taken over."""
        self._logs.save()

    async def render(self, ledger: Ledger, accept: str) -> tuple[bytes, str]:
        """The metrics as text, and their content type. Raises OSError where the journal cannot be read."""
        from projctl_agent.metrics import Exposition, Snapshot  # 10 MB that only a scrape needs

        await self.look()
        states = (await self._fleet.survey()).states
        memory = {
            name: size
            for name, watch in self._fleet.watches().items()
            if (size := cgroup.memory_bytes(watch.target.control_group)) is not None
        }
        self._exposition = self._exposition or Exposition()
        return self._exposition.render(Snapshot(ledger, states, memory, self._logs.logs()), accept)
