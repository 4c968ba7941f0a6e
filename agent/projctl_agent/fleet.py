"""All projects that run: a watch for each, opened and closed as systemd reports changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from projctl_agent.bus import Bus, BusError, Listener, UnitRow
from projctl_agent.names import project_of_service, project_of_socket
from projctl_agent.watch import Watch, open_watch, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl_agent.idle import Track
    from projctl_agent.lifecycle import Ledger

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
        self._tracks: dict[str, Track] = {}

    async def connect(self, *, user: bool) -> Bus:
        """Connect and look for what runs. Raises BusError."""
        bus = await Bus.connect(Listener(self._unit_changed, self._reloaded), user=user)
        self._bus = bus
        for row in await bus.list_units([_SERVICES], sorted(_RUNNING)):
            self._open(row.name)
        await asyncio.gather(*self._opening.values())
        self._tracks.clear()
        return bus

    def disconnect(self) -> None:
        """Close all watches; what they know is kept for the same runs after a new connection."""
        for service in list(self._watches):
            watch = self._close(service)
            if watch and watch.track:
                self._tracks[watch.invocation] = watch.track
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

    def _unit_changed(self, unit: str, changed: dict[str, Any] | None) -> None:
        named = project_of_service(unit)
        if not named:
            return
        state = "inactive" if changed is None else changed.get("ActiveState")
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
        for service in list(self._watches):
            self._start(service, self._reread(service))

    def _open(self, service: str) -> None:
        if service not in self._watches and service not in self._opening:
            self._start(service, self._begin(service))

    def _start(self, service: str, work: Any) -> None:  # noqa: ANN401
        task = asyncio.get_running_loop().create_task(work)
        self._opening[service] = task
        task.add_done_callback(lambda done: self._opened(service, done))

    def _opened(self, service: str, task: asyncio.Task[None]) -> None:
        if self._opening.get(service) is task:
            del self._opening[service]
        if not task.cancelled() and (error := task.exception()):
            self._report(f"cannot watch {service}: {error}")

    async def _begin(self, service: str) -> None:
        assert self._bus  # noqa: S101  only called while connected
        watch = await open_watch(self._bus, service)
        if watch is None:
            return
        totals = self._ledger().projects.get(watch.settings.project)
        watch.told_no_counters = bool(totals and totals.told_no_counters)
        watch.track = self._tracks.get(watch.invocation)
        follower = asyncio.get_running_loop().create_task(watch.follow(self._bus))
        self._watches[service] = (watch, follower)
        follower.add_done_callback(lambda done: self._followed(service, done))

    async def _reread(self, service: str) -> None:
        assert self._bus  # noqa: S101  only called while connected
        wanted = await read_settings(self._bus, service)
        if service in self._watches and wanted:
            watch = self._watches[service][0]
            watch.settings = wanted
            watch.woken.set()

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
