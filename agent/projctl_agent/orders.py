"""What only root may order: through the helper, or in a user's own manager directly."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from projctl_agent.bus import BusError
from projctl_agent.helper import requests
from projctl_agent.helper.requests import Verb

if TYPE_CHECKING:
    from projctl_agent.bus import Bus

HELPER = "/run/projctl/helper.sock"
#: Seconds for the helper to start and to answer.
_PATIENCE = 30.0


class Orders:
    """Starts and resets units of projects; `bus` is the user's own manager, None where the helper acts."""

    def __init__(self, bus: Bus | None) -> None:
        self._bus = bus

    async def start(self, unit: str) -> None:
        """Order the start of a project's service or socket. Raises BusError when it is refused."""
        await (self._bus.start_unit(unit) if self._bus else _ask(Verb.START, unit))

    async def reset(self, unit: str) -> None:
        """Forget that a project's service or socket failed. Raises BusError when it is refused."""
        await (self._bus.reset_failed(unit) if self._bus else _ask(Verb.RESET, unit))


async def _ask(verb: Verb, unit: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await _exchange(requests.line(**{verb: unit}))
    except (OSError, TimeoutError, ValueError) as error:
        raise BusError(f"cannot ask projctl-agent-helper to {verb} {unit}: {error}") from None
    if "error" in answer:
        raise BusError(f"cannot {verb} {unit}: {answer['error']}")


async def _exchange(line: bytes) -> dict[str, object]:
    reader, writer = await asyncio.open_unix_connection(HELPER)
    try:
        writer.write(line)
        answer = json.loads(await reader.readline())
    finally:
        writer.close()
    if not isinstance(answer, dict):
        raise ValueError("not an answer")
    return answer
