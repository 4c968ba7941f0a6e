"""How a server stops: how long it waits for what, and the wait itself."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl_runtime.traffic import Traffic

#: Seconds until a project's server is killed where nobody says otherwise: the default of `stop_timeout`.
_STOP_TIMEOUT = 30.0
#: Seconds between two looks at what is still open while stopping.
_LOOK = 0.01


def drain_timeout(stop_timeout: str | None) -> float:
    """Seconds to finish requests in: a little below the seconds after which the server is killed."""
    try:
        seconds = float(stop_timeout or _STOP_TIMEOUT)
    except ValueError:
        seconds = _STOP_TIMEOUT
    return max(seconds * 0.9, seconds - 2) if seconds > 0 else _STOP_TIMEOUT - 2


def _from_environment() -> float:
    return drain_timeout(os.environ.get("PROJCTL_STOP_TIMEOUT"))


@dataclass(frozen=True)
class StopPolicy:
    """Seconds: `drain_timeout` for everything that was accepted; what is silent is closed earlier.

    `linger` is how long a kept-alive connection between two requests may stay silent, `patience` how long one
    whose request has not come, or not whole.
    """

    drain_timeout: float = field(default_factory=_from_environment)
    linger: float = 0.5
    patience: float = 3.0


async def drain(traffics: Sequence[Traffic], policy: StopPolicy, hurry: asyncio.Event) -> int:
    """Wait until everything accepted is answered and closed; the number of requests given up at the end of the time.

    Nothing may be accepted any more. `hurry` ends the wait at once.
    """
    loop = asyncio.get_running_loop()
    since = loop.time()
    for traffic in traffics:
        traffic.start_draining()
    while any(traffic.busy() for traffic in traffics):
        if hurry.is_set() or loop.time() - since >= policy.drain_timeout:
            return await _give_up(traffics)
        for connection in [connection for traffic in traffics for connection in traffic.connections]:
            connection.close_if_silent(since, policy)
        await asyncio.sleep(_LOOK)
    return 0


async def _give_up(traffics: Sequence[Traffic]) -> int:
    calls = {call for traffic in traffics for call in traffic.calls}
    for call in calls:
        call.cancel()
    if calls:
        await asyncio.wait(calls, timeout=0.2)
    for connection in [connection for traffic in traffics for connection in traffic.connections]:
        connection.abort()
    await asyncio.sleep(0)
    return len(calls)
