"""Freezes services of projects until something calls for them: a connection, bytes on one, systemd or an order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from projctl_agent.helper import ours, processes
from projctl_agent.helper.bell import Bell, Rung
from projctl_agent.helper.duplicates import Duplicates
from projctl_agent.helper.frozen import Frozen
from projctl_agent.helper.requests import RefusedError
from projctl_agent.names import backend_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from projctl_agent.bus import Bus


#: Bytes that are reclaimed at a time: nobody who goes on meanwhile loses more.
_AT_A_TIME = 16 << 20


class Freezer:
    """All that is frozen. Who asked for it is told by `tell(service, reason)` when it thaws by itself."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._frozen: dict[str, Frozen] = {}
        self._bell = Bell()

    async def freeze(self, service: str, tell: Callable[[str, str], None]) -> None:
        """Stop all processes of a project's server, and of a backend behind it. Raises RefusedError or BusError."""
        if service in self._frozen:
            raise RefusedError(f"{service} is frozen already")
        frozen = self._frozen[service] = Frozen(tell)
        try:
            await self._freeze(service, frozen)
        except BaseException as error:
            if self._frozen.get(service) is frozen:
                del self._frozen[service]
            frozen.let_go()
            if isinstance(error, OSError):
                raise RefusedError(f"cannot stop its processes: {error}") from None
            raise

    async def _freeze(self, service: str, frozen: Frozen) -> None:
        frozen.servers = await ours.servers(self._bus, service, backend_of(service))
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

    def _called(self, service: str, frozen: Frozen, ready: list[int]) -> None:
        if self._frozen.get(service) is not frozen:
            return  # somebody else has let it go on meanwhile
        self._forget(service)
        reason = frozen.duplicates.what(ready) if frozen.duplicates else "bytes"
        frozen.let_go()
        frozen.tell(service, reason)

    def holds(self, service: str) -> bool:
        """Whether it is frozen."""
        return service in self._frozen

    def thaw(self, service: str) -> None:
        """Let it go on; no error where it is not frozen. One that is just being frozen follows when that is through."""
        self._end([service])

    def _end(self, services: Iterable[str]) -> None:
        ended = [frozen for service in services if (frozen := self._forget(service)) and frozen.duplicates]
        for frozen in ended:
            frozen.go_on()
        if any(frozen.leading for frozen in ended):
            time.sleep(processes.HEAD_START)
        for frozen in ended:
            frozen.let_go()

    def _forget(self, service: str) -> Frozen | None:
        frozen = self._frozen.pop(service, None)
        if frozen and frozen.duplicates:
            self._bell.take_down(frozen.duplicates)
        return frozen

    async def reclaim(self, service: str) -> None:
        """Move the memory of a frozen server out of the way. Raises RefusedError where the kernel cannot."""
        if not (frozen := self._frozen.get(service)):
            raise RefusedError(f"{service} is not frozen")
        for server in frozen.servers:
            await asyncio.to_thread(_reclaim, server.place, lambda: self._frozen.get(service) is frozen)

    def unit_changed(self, unit: str, changed: dict[str, Any]) -> None:
        """A stop, a reload or an end needs processes that run."""
        if changed.get("ActiveState", "active") == "active":
            return
        for service in [service for service in self._frozen if unit in {service, backend_of(service)}]:
            frozen = self._frozen[service]
            self._forget(service)
            if frozen.duplicates:
                frozen.let_go()
            frozen.tell(service, "systemd")

    def release(self, tell: Callable[[str, str], None]) -> None:
        """Thaw all that this one asked for; it does not listen any more."""
        self._end([service for service, frozen in self._frozen.items() if frozen.tell == tell])

    def close(self) -> None:
        """Thaw everything; when it returns, all is done."""
        self._end(list(self._frozen))
        self._bell.close()


def _reclaim(place: Path, is_frozen: Callable[[], bool]) -> None:
    file = place / "memory.reclaim"
    if not file.exists():
        raise RefusedError("the kernel reclaims no memory here")
    # It gives as much as it can, and calls the rest an error.
    with contextlib.suppress(OSError):
        left = int((place / "memory.current").read_text())
        while left > 0 and is_frozen():
            file.write_text(str(min(left, _AT_A_TIME)))
            left -= _AT_A_TIME
