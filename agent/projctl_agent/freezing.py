"""One running project and its frost: when it freezes, and what it does when it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl_agent import messages
from projctl_agent.bus import BusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projctl_agent.orders import Orders
    from projctl_agent.settings import Settings


@dataclass(slots=True)
class Freezing:
    """What freezes one run of a project; `told` are the obstacles that the journal knows of."""

    orders: Orders
    settings: Settings
    invocation: str
    told: set[str] = field(default_factory=set)
    _reclaiming: asyncio.Task[None] | None = None

    @property
    def frozen(self) -> bool:
        """Whether it is frozen now."""
        return self.settings.service in self.orders.frozen

    async def freeze(self, quiet: float, is_used: Callable[[], Awaitable[bool]]) -> bool:
        """Freeze what nobody used for `quiet` seconds; whether that was done. Each obstacle is told once in a run.

        What a server had read before it stood still, no descriptor tells of: where it `is_used` then, it goes on.
        """
        instance, service = self.settings.instance, self.settings.service
        try:
            await self.orders.freeze(service, self.invocation)
        except BusError as error:
            self._tell(messages.freeze_refused, error)
            return False
        messages.frozen(instance, service, self.invocation, quiet)
        is_wanted = True
        try:
            is_wanted = await is_used()
        finally:
            if is_wanted:
                await self.thaw("use")
        if self.settings.reclaim and self.frozen:
            # Whoever wants it to go on does not wait for that.
            self._reclaiming = asyncio.get_running_loop().create_task(self._reclaim())
        return True

    async def _reclaim(self) -> None:
        try:
            await self.orders.reclaim(self.settings.service)
        except BusError as error:
            if self.frozen:  # else something called for it meanwhile
                self._tell(messages.reclaim_refused, error)

    def _tell(self, message: Callable[[str, str, str, str], None], error: BusError) -> None:
        if str(error) not in self.told:
            self.told.add(str(error))
            message(self.settings.instance, self.settings.service, self.invocation, str(error))

    async def thaw(self, reason: str) -> None:
        """Let it go on where it is frozen; a helper that cannot be asked has thawed it already."""
        with contextlib.suppress(BusError):
            await self.orders.thaw(self.settings.service, reason)
