"""Runs that end: one entry with the figures of each, whatever ended it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from projctl_agent import messages, usage
from projctl_agent.bus import UNIT, BusError
from projctl_agent.usage import Bytes, Usage

if TYPE_CHECKING:
    from projctl_agent.bus import Bus
    from projctl_agent.watch import Watch


class Endings:
    """What is kept from run to run, and of runs that are just ending."""

    def __init__(self) -> None:
        self._stopping: dict[str, Watch] = {}
        self._usages: dict[str, Usage] = {}
        self._counters: dict[str, Bytes | None] = {}

    async def begin(self, bus: Bus, watch: Watch) -> Usage:
        """The usage of a run that is watched from now on: the one that is known of it, or a new one."""
        if known := self._usages.pop(watch.invocation, None):
            return known
        wanted = watch.settings
        base = self._counters.get(wanted.instance)
        if base is None:
            base = await usage.first_base(bus, wanted.service, wanted.sockets)
        return Usage(watch.target.control_group, base)

    def keep(self, watch: Watch) -> None:
        """Remember a run that goes on unwatched for a while."""
        self._usages[watch.invocation] = watch.usage

    def stopping(self, watch: Watch) -> None:
        """Read the figures of a run that begins to stop, while its control group is there."""
        watch.usage.look_at_end()
        self._stopping[watch.settings.service] = watch

    def take(self, service: str) -> Watch | None:
        """The run of this service that was stopping, once it has stopped."""
        return self._stopping.pop(service, None)

    async def conclude(self, bus: Bus, watch: Watch) -> None:
        """Tell the figures of a run that has ended, unless its idle stop told them."""
        wanted, now, counted = watch.settings, time.monotonic(), None
        with contextlib.suppress(BusError):  # what is known is told without an answer, too
            counted = await usage.counters(bus, wanted.sockets)
            (identity,) = await bus.properties((wanted.primary, UNIT, "InvocationID"))
            if bytes(identity or b"").hex() in {"", watch.invocation}:
                await watch.usage.conclude(bus, wanted.primary)
        self._counters[wanted.instance] = counted
        if not watch.told_stop:
            idle = None if watch.track is None else max(0.0, now - watch.track.last_use)
            messages.ended(
                wanted.instance,
                wanted.service,
                watch.invocation,
                max(0.0, now - watch.started),
                idle,
                watch.usage.fields(counted),
            )
