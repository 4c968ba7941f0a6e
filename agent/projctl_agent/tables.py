"""The kernel's table of TCP sockets, read once for all who ask at the same moment."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING

from projctl_agent import sockdiag

if TYPE_CHECKING:
    from projctl_agent.sockdiag import Listeners, Traffic


class Table:
    """Each reading walks through all sockets of the machine, for one project as for a hundred."""

    def __init__(self) -> None:
        self._asked: list[tuple[Listeners, asyncio.Future[Traffic]]] = []

    async def traffic(self, listeners: Listeners) -> Traffic:
        """As sockdiag.tcp_traffic, of a reading after this question. Raises OSError."""
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._answer)
        answer: asyncio.Future[Traffic] = loop.create_future()
        self._asked.append((listeners, answer))
        return await answer

    def _answer(self) -> None:
        asked, self._asked = self._asked, []
        try:
            found = sockdiag.tcp_traffic([listeners for listeners, _ in asked])
        except Exception as error:  # whatever it was, nobody may wait for ever
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(copy(error))
            return
        for (_, answer), traffic in zip(asked, found, strict=True):
            if not answer.done():  # whoever asked may have gone
                answer.set_result(traffic)
