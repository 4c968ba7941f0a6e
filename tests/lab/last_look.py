"""Watches one project like the agent until it is stopped; uses it once between the decision and the last look.

Prints when that was (seconds since 1970), when the stop was ordered, and the looks at what was to be stopped.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request

from projctl_agent.bus import UNIT, Bus, Listener
from projctl_agent.orders import Orders
from projctl_agent.usage import Usage
from projctl_agent.watch import open_watch


class Disturbed(Usage):
    """What a stop reads first, after it is decided and before its last look."""

    url, used, decided = "", 0.0, 0

    def look(self, *, pressing: bool = False) -> None:
        super().look(pressing=pressing)
        self.decided += pressing
        if pressing and not self.used:
            with urllib.request.urlopen(self.url) as answer:
                answer.read()
            self.used = time.time()


async def main(service: str, url: str) -> None:
    bus = await Bus.connect(Listener(lambda _unit, _changed: None, lambda: None), user=False)
    watch = await open_watch(bus, Orders(None), service)
    assert watch
    watch.usage = usage = Disturbed(watch.target.control_group, None)
    usage.url = url
    following = asyncio.create_task(watch.follow(bus))
    async with asyncio.timeout(30):
        while not watch.told_stop:
            await asyncio.sleep(0.01)
        ordered = time.time()
        while (await bus.properties((service, UNIT, "ActiveState")))[0] == "active":
            await asyncio.sleep(0.01)
    print(usage.used, ordered, usage.decided)
    following.cancel()
    bus.close()


asyncio.run(main(*sys.argv[1:]))
