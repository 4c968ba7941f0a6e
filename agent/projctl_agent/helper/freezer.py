"""Freezes services of projects until something calls for them: a connection, bytes on one, systemd or an order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from projctl_agent.helper import duplicates, ours, processes
from projctl_agent.helper.bell import Bell, Rung
from projctl_agent.helper.duplicates import Duplicates
from projctl_agent.helper.requests import RefusedError
from projctl_agent.names import backend_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl_agent.bus import Bus
    from projctl_agent.helper.ours import Server
    from projctl_agent.helper.processes import Process


#: Seconds between two looks whether children take what came.
_PAUSE = 0.01


@dataclass(slots=True)
class _Frozen:
    """What is frozen by one order: the servers of a project, a proxy before its backend, and what watches them."""

    tell: Callable[[str, str], None]
    servers: list[Server] = field(default_factory=list)
    held: list[Process] = field(default_factory=list)
    leading: list[Process] = field(default_factory=list)
    duplicates: Duplicates | None = None

    def part(self) -> None:
        """Tell parents of others from the rest, now: somebody waits when it thaws."""
        parents = processes.parents(process.pid for process in self.held)
        self.leading = [process for process in self.held if process.pid in parents]
        self.held = [process for process in self.held if process.pid not in parents]

    def wake(self) -> None:
        """Continue all but the parents of others."""
        for process in self.held:
            process.go_on()

    def let_go(self) -> None:
        """Continue all, and watch it no longer."""
        for process in (*self.held, *self.leading):
            process.go_on()
            process.close()
        self.held.clear()
        self.leading.clear()
        if self.duplicates:
            self.duplicates.close()
            self.duplicates = None


class Freezer:
    """All that is frozen. Who asked for it is told by `tell(service, reason)` when it thaws by itself."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._frozen: dict[str, _Frozen] = {}
        self._waking: dict[asyncio.Task[None], _Frozen] = {}
        self._bell = Bell()

    async def freeze(self, service: str, tell: Callable[[str, str], None]) -> None:
        """Stop all processes of a project's server, and of a backend behind it. Raises RefusedError or BusError."""
        if service in self._frozen:
            raise RefusedError(f"{service} is frozen already")
        frozen = self._frozen[service] = _Frozen(tell)
        try:
            await self._freeze(service, frozen)
        except BaseException as error:
            if self._frozen.get(service) is frozen:
                del self._frozen[service]
            frozen.let_go()
            if isinstance(error, OSError):
                raise RefusedError(f"cannot stop its processes: {error}") from None
            raise

    async def _freeze(self, service: str, frozen: _Frozen) -> None:
        frozen.servers = await ours.servers(self._bus, service, backend_of(service))
        if waking := [task for task, earlier in self._waking.items() if earlier.servers == frozen.servers]:
            await asyncio.wait(waking)
        for server in frozen.servers:
            await processes.stop(server.place, frozen.held)
        frozen.duplicates = Duplicates(frozen.held)
        frozen.part()
        # Between the agent's last look and the stop something may have come.
        if call := frozen.duplicates.call():
            raise RefusedError(f"it is in use: {call}")
        if self._frozen.get(service) is not frozen:
            raise RefusedError("its state changed meanwhile")
        told = partial(self._called, service, frozen)
        self._bell.hang(Rung(frozen.duplicates, frozen.wake, told), asyncio.get_running_loop())

    def _called(self, service: str, frozen: _Frozen, ready: list[int]) -> None:
        if self._frozen.get(service) is not frozen:
            return  # somebody else has let it go on meanwhile
        self._forget(service)
        frozen.tell(service, duplicates.what(ready))
        task = asyncio.get_running_loop().create_task(_follow(frozen))
        self._waking[task] = frozen
        task.add_done_callback(self._waking.pop)

    def thaw(self, service: str) -> None:
        """Let it go on; no error where it is not frozen. One that is just being frozen follows when that is through."""
        if (frozen := self._forget(service)) and frozen.duplicates:
            frozen.let_go()

    def _forget(self, service: str) -> _Frozen | None:
        frozen = self._frozen.pop(service, None)
        if frozen and frozen.duplicates:
            self._bell.take_down(frozen.duplicates)
        return frozen

    async def reclaim(self, service: str) -> None:
        """Move the memory of a frozen server out of the way. Raises RefusedError where the kernel cannot."""
        if not (frozen := self._frozen.get(service)):
            raise RefusedError(f"{service} is not frozen")
        for server in frozen.servers:
            await asyncio.to_thread(_reclaim, server)

    def unit_changed(self, unit: str, changed: dict[str, Any]) -> None:
        """A stop, a reload or an end needs processes that run."""
        if changed.get("ActiveState", "active") == "active":
            return
        for service in [service for service in self._frozen if unit in {service, backend_of(service)}]:
            tell = self._frozen[service].tell
            self.thaw(service)
            tell(service, "systemd")
        for frozen in self._waking.values():
            if any(unit == server.unit for server in frozen.servers):
                frozen.let_go()

    def release(self, tell: Callable[[str, str], None]) -> None:
        """Thaw all that this one asked for; it does not listen any more."""
        for service in [service for service, frozen in self._frozen.items() if frozen.tell == tell]:
            self.thaw(service)

    def close(self) -> None:
        """Thaw everything; when it returns, all is done."""
        leading = [*self._waking.values()]
        for service in list(self._frozen):
            if (frozen := self._forget(service)) and frozen.duplicates:
                frozen.wake()
                leading.append(frozen)
        if any(frozen.leading for frozen in leading):
            time.sleep(processes.HEAD_START)
        for frozen in leading:
            frozen.let_go()
        self._bell.close()


async def _follow(frozen: _Frozen) -> None:
    """Let parents go when their children had time to give a sign of life, or when none of these takes what came."""
    deadline = time.monotonic() + processes.HEAD_START
    while frozen.leading and frozen.duplicates and time.monotonic() < deadline:
        await asyncio.sleep(_PAUSE)
        if frozen.duplicates and frozen.duplicates.call():
            break
    frozen.let_go()


def _reclaim(server: Server) -> None:
    file = server.place / "memory.reclaim"
    if not file.exists():
        raise RefusedError("the kernel reclaims no memory here")
    # It gives as much as it can, and calls the rest an error.
    with contextlib.suppress(OSError):
        file.write_text((server.place / "memory.current").read_text())
