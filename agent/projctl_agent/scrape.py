"""What is looked up for a scrape, and in between so that nothing is missed or shown twice."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from projctl_agent import cgroup, sockdiag, status
from projctl_agent.access.logs import AccessLogs
from projctl_agent.gone import Gone
from projctl_agent.meters.fleet import FleetMeters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from projctl_agent.fleet import Fleet
    from projctl_agent.journal import Scope
    from projctl_agent.lifecycle import Ledger
    from projctl_agent.metrics import Exposition, Running
    from projctl_agent.watch import Watch

#: Seconds that access logs may take of one scrape, or of one turn in between; the next one goes on.
_ACCESS_LOGS = 2.0


class Scrape:
    """Gathers what the journal does not tell by itself; `state` is the agent's directory, None for none."""

    def __init__(
        self,
        scope: Scope,
        ledger: Callable[[], Ledger],
        fleet: Fleet,
        state: Path | None,
        report: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._logs = AccessLogs(scope, state and state / "access.json", report)
        self._meters = FleetMeters(state and state / "meters.json", report)
        self._ran: Mapping[str, Sequence[str]] = {}
        self._gone = Gone(fleet)
        self._exposition: Exposition | None = None
        self.feed = self._meters.feed
        self.again = self._meters.again
        self.fed = self._meters.fed

    async def look(self) -> bool:
        """Take over what is new; whether that was all. Raises OSError where the journal cannot be read."""
        seen = self._fleet.seen()
        running = {settings.instance: settings.sockets for settings in seen}
        moved = await self._fleet.counters({**self._ran, **running})
        self._ran = running
        watches = self._fleet.watches()
        for watch in watches.values():
            watch.usage.look(pressing=True)
        self._meters.look(self._ledger(), watches, moved)
        self._logs.seen(seen)
        return await self._logs.read(_ACCESS_LOGS)

    def save(self, *, surely: bool = False) -> None:
        """Keep what was taken over."""
        self._meters.save(surely=surely)
        self._logs.save(surely=surely)

    async def finish(self) -> None:
        """Take over all that can be known, since nobody will for a while."""
        with contextlib.suppress(OSError):
            await self.look()
        self._meters.rest(self._ledger().boot, await self._states(), last=True)
        self.save(surely=True)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The metrics as text, and their content type. Raises OSError where the journal cannot be read."""
        from projctl_agent.metrics import Exposition, Snapshot  # 10 MB that only a scrape needs

        await self.look()
        ledger, states = self._ledger(), await self._states()
        await self._forget(states)
        self._meters.rest(ledger.boot, states)
        self.save()  # before it is shown
        running = look_at(self._fleet.watches())
        snapshot = Snapshot(
            ledger, states, running, self._meters.all(), self._logs.logs(), self._fleet.shared.lag.seconds
        )
        self._exposition = self._exposition or Exposition()
        return self._exposition.render(snapshot, accept)

    async def _forget(self, states: Mapping[str, str]) -> None:
        known = self._ledger().projects
        names = known.keys() | self._meters.all().keys() | self._logs.logs().keys()
        gone = await self._gone.among(frozenset(names - states.keys()))
        for instance in gone:
            known.pop(instance, None)
        self._meters.forget(gone)
        self._logs.forget(gone)

    async def _states(self) -> dict[str, str]:
        known = self._ledger().projects
        states = (await self._fleet.survey()).states
        reasons = {name: known[name].last_reason for name in states.keys() & known.keys()}
        return {name: status.actual(state, reasons.get(name, "")) or state for name, state in states.items()}


def look_at(watches: Mapping[str, Watch]) -> dict[str, Running]:
    """What those that run are doing now, by instance."""
    from projctl_agent.metrics import Running

    now = time.monotonic()
    connections = _connections(watches.values())
    found = {}
    for (name, watch), count in zip(watches.items(), connections, strict=True):
        processes, threads = cgroup.tasks(watch.target.control_group)
        found[name] = Running(
            uptime=max(0.0, now - watch.started),
            idle=None if watch.track is None else max(0.0, now - watch.track.last_use),
            memory=watch.usage.figures.memory_bytes,
            connections=count,
            processes=processes,
            threads=threads,
        )
    return found


def _connections(watches: Iterable[Watch]) -> list[int | None]:
    """Established connections of each; None where the kernel does not tell."""
    targets = [watch.target for watch in watches]
    try:
        tcp = [len(found.connections) for found in sockdiag.tcp_traffic([target.tcp for target in targets])]
        unix = [len(sockdiag.unix_traffic(target.paths).connections) for target in targets]
    except OSError:
        return [None] * len(targets)
    return [one + other for one, other in zip(tcp, unix, strict=True)]
