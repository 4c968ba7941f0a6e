"""All projects that run: a watch for each, opened and closed as systemd reports changes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from projctl_agent.bus import Bus, BusError, Listener, UnitRow
from projctl_agent.names import project_of_service, project_of_socket
from projctl_agent.watch import Watch, open_watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projctl_agent.lifecycle import Ledger

#: Seconds until a question that systemd did not answer is repeated.
_PAUSE = 1.0
_RUNNING = frozenset({"active", "reloading"})
_SERVICES = "projctl-*.service"
_STATES = {
    "activating": "starting",
    "active": "running",
    "reloading": "running",
    "deactivating": "stopping",
    "failed": "failed",
}


class Fleet:
    """Follows one systemd over connections that may be cut. `changed` is told that the journal has news."""

    def __init__(
        self, ledger: Callable[[], Ledger], changed: Callable[[], None], report: Callable[[str], None]
    ) -> None:
        self._ledger = ledger
        self._changed = changed
        self._report = report
        self._bus: Bus | None = None
        self._watches: dict[str, tuple[Watch, asyncio.Task[None]]] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._kept: dict[str, Watch] = {}

    async def connect(self, *, user: bool) -> Bus:
        """Connect and look for what runs. Raises BusError."""
        bus = await Bus.connect(Listener(self._unit_changed, self._reloaded), user=user)
        self._bus = bus
        await self._open_all(bus)
        return bus

    def disconnect(self) -> None:
        """Close all watches; what they know is kept for the same runs after a new connection."""
        self._close_all()
        for task in self._opening.values():
            task.cancel()
        self._opening.clear()
        if self._bus:
            self._bus.close()
        self._bus = None

    def watches(self) -> dict[str, Watch]:
        """The projects that run, by name."""
        return {watch.settings.project: watch for watch, _ in self._watches.values()}

    async def states(self) -> dict[str, str]:
        """The state of every project that systemd has loaded, by name; empty without a connection."""
        if not self._bus:
            return {}
        try:
            rows = await self._bus.list_units([_SERVICES, "projctl-*.socket"], [])
        except BusError:
            return {}
        return project_states(rows)

    def _unit_changed(self, unit: str, changed: dict[str, Any]) -> None:
        named = project_of_service(unit)
        if not named:
            return
        state = changed.get("ActiveState")
        if state is None:
            return
        self._changed()
        if named[1]:
            return
        if state in _RUNNING:
            self._open(unit)
        else:
            self._close(unit)

    def _reloaded(self) -> None:
        self._changed()
        if self._bus:
            self._close_all()
            self._start("", _insist(partial(self._open_all, self._bus)))

    async def _open_all(self, bus: Bus) -> None:
        for row in await bus.list_units([_SERVICES], sorted(_RUNNING)):
            self._open(row.name)
        opening = [task for service, task in self._opening.items() if service]
        await asyncio.gather(*opening, return_exceptions=True)
        self._kept.clear()

    def _close_all(self) -> None:
        for service in list(self._watches):
            if watch := self._close(service):
                self._kept[watch.invocation] = watch

    def _open(self, service: str) -> None:
        if service not in self._watches and service not in self._opening:
            self._start(service, _insist(partial(self._begin, service)))

    def _start(self, service: str, work: Any) -> None:  # noqa: ANN401
        task = asyncio.get_running_loop().create_task(work)
        self._opening[service] = task
        task.add_done_callback(lambda done: self._opened(service, done))

    def _opened(self, service: str, task: asyncio.Task[None]) -> None:
        if self._opening.get(service) is task:
            del self._opening[service]
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot watch {service or 'projects'}: {error}")

    async def _begin(self, service: str) -> None:
        assert self._bus  # noqa: S101  only called while connected
        watch = await open_watch(self._bus, service)
        if watch is None:
            return
        totals = self._ledger().projects.get(watch.settings.project)
        watch.told_no_counters = bool(totals and totals.told_no_counters)
        if kept := self._kept.get(watch.invocation):
            watch.track, watch.told_no_counters = kept.track, kept.told_no_counters
        follower = asyncio.get_running_loop().create_task(watch.follow(self._bus))
        self._watches[service] = (watch, follower)
        follower.add_done_callback(lambda done: self._followed(service, done))

    def _followed(self, service: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot watch {service} any longer: {error!r}")
            self._watches.pop(service, None)

    def _close(self, service: str) -> Watch | None:
        if opening := self._opening.pop(service, None):
            opening.cancel()
        watch, follower = self._watches.pop(service, (None, None))
        if follower:
            follower.cancel()
        return watch


async def _insist(work: Callable[[], Awaitable[None]]) -> None:
    """Do it again until systemd answers; a cut connection cancels it."""
    while True:
        try:
            return await work()
        except BusError:
            await asyncio.sleep(_PAUSE)


def project_states(rows: list[UnitRow]) -> dict[str, str]:
    """The state of each project out of its units: the service's, else whether a socket listens."""
    listening: dict[str, bool] = {}
    services: dict[str, str] = {}
    for row in rows:
        if project := project_of_socket(row.name):
            listening[project] = listening.get(project, False) or row.active_state == "active"
        elif (named := project_of_service(row.name)) and not named[1]:
            # A service in back-off counts as failed: until it is over nothing answers.
            state = "failed" if row.sub_state.startswith("auto-restart") else _STATES.get(row.active_state)
            if state:
                services[named[0]] = state
    return {
        project: services.get(project) or ("asleep" if listening.get(project) else "down")
        for project in listening | services
    }
