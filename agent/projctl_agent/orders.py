"""What only root may order: through the helper, or in a user's own manager directly."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from projctl_agent.bus import BusError
from projctl_agent.helper import holders, requests
from projctl_agent.helper.freezer import Freezer
from projctl_agent.helper.requests import RefusedError, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from projctl_agent.bus import Bus

HELPER = "/run/projctl/helper.sock"
#: Seconds for the helper to start and to answer.
_PATIENCE = 30.0
#: What is over once it is answered: the helper need not know of its asker any longer.
_PASSING = frozenset({Verb.START, Verb.RESET, Verb.HOLDERS, Verb.COUNT})


class Frost(NamedTuple):
    """A run that is frozen, since then (monotonic)."""

    invocation: str
    since: float


class Orders:
    """Starts, resets, freezes and thaws units of projects, and has their sockets count.

    `bus` is the user's own manager, None where the helper acts.
    `thawed(service, frost, reason)` is told of every end of a frost.
    """

    def __init__(
        self, bus: Bus | None, thawed: Callable[[str, Frost, str], None] = lambda _service, _frost, _why: None
    ) -> None:
        self._bus = bus
        self._thawed = thawed
        self._freezer = Freezer(bus) if bus else None
        self._session: _Session | None = None
        self._opening = asyncio.Lock()
        self.frozen: dict[str, Frost] = {}

    async def start(self, unit: str) -> None:
        """Order the start of a project's service or socket. Raises BusError when it is refused."""
        await (self._bus.start_unit(unit) if self._bus else self._ask(Verb.START, unit))

    async def reset(self, unit: str) -> None:
        """Forget that a project's service or socket failed. Raises BusError when it is refused."""
        await (self._bus.reset_failed(unit) if self._bus else self._ask(Verb.RESET, unit))

    async def count(self, socket: str) -> None:
        """Let a project's socket count its bytes again. Raises BusError when it is refused.

        Nothing to do in a user's own manager, where no socket has counters.
        """
        if not self._bus:
            await self._ask(Verb.COUNT, socket)

    @property
    def direct(self) -> bool:
        """Whether no helper stands between: a user's own manager."""
        return self._bus is not None

    async def holders(self, inodes: Collection[int]) -> list[int]:
        """The processes beside the manager that hold these sockets of its. Raises BusError when it is refused."""
        if self._bus:
            return await asyncio.to_thread(holders.find, inodes)
        answer = await self._ask(Verb.HOLDERS, sorted(inodes))
        return [pid for pid in answer.get("holders", ()) if isinstance(pid, int)]

    async def freeze(self, service: str, invocation: str) -> None:
        """Freeze a service until something calls for it. Raises BusError when it is refused.

        That is carried through where who ordered it goes meanwhile: what is frozen unknown would be thawed by no order.
        """
        await asyncio.shield(asyncio.ensure_future(self._freeze(service, invocation)))

    async def _freeze(self, service: str, invocation: str) -> None:
        try:
            if self._freezer:
                await self._freezer.freeze(service, self._told)
            else:
                await self._ask(Verb.FREEZE, service)
        except RefusedError as error:
            raise BusError(str(error)) from None
        self.frozen[service] = Frost(invocation, time.monotonic())

    async def reclaim(self, service: str) -> None:
        """Move the memory of a frozen service out of the way. Raises BusError when it is refused."""
        try:
            await (self._freezer.reclaim(service) if self._freezer else self._ask(Verb.RECLAIM, service))
        except RefusedError as error:
            raise BusError(str(error)) from None

    async def thaw(self, service: str, reason: str) -> None:
        """Let a service go on that is frozen. Raises BusError when the helper cannot be asked."""
        if service in self.frozen:
            await self._thaw(service)
            self._told(service, reason)

    async def _thaw(self, service: str) -> None:
        if self._freezer:
            self._freezer.thaw(service)
        else:
            await self._ask(Verb.THAW, service)

    def unit_changed(self, unit: str, changed: dict[str, Any]) -> None:
        """Tell of a unit's changed properties: jobs thaw. Where there is a helper, it looks itself."""
        if self._freezer:
            self._freezer.unit_changed(unit, changed)

    def close(self) -> None:
        """Thaw everything and leave."""
        if self._freezer:
            self._freezer.close()
        if self._session:
            self._session.close()
        self._lost()

    def _told(self, service: str, reason: str) -> None:
        if frost := self.frozen.pop(service, None):
            self._thawed(service, frost, reason)

    def _lost(self) -> None:
        """Whatever ends the connection: the helper has thawed all of it."""
        self._session = None
        for service in list(self.frozen):
            self._told(service, "lost")

    async def _ask(self, verb: Verb, what: str | list[int]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_PATIENCE), self._opening:
                if self._session is None:
                    self._session = await _Session.open(self._told, self._lost)
                answer = await self._session.ask(requests.line(**{verb: what}))
                if verb in _PASSING and not self.frozen:
                    self._session.close()  # the helper ends when nobody is connected
                    self._session = None
        except (OSError, TimeoutError) as error:
            # An answer that came later would be taken for that to another question.
            if self._session:
                self._session.close()
                self._lost()
            raise BusError(f"cannot ask projctl-agent-helper for {verb} {what}: {error}") from None
        if "error" in answer:
            raise BusError(str(answer["error"]))
        return answer


class _Session:
    """One connection to the helper: what was frozen through it thaws when it ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._listening: asyncio.Task[None] | None = None
        self._answers: deque[asyncio.Future[dict[str, Any]]] = deque()

    @classmethod
    async def open(cls, told: Callable[[str, str], None], lost: Callable[[], None]) -> _Session:
        """Connect; `told` hears what thawed by itself, `lost` of the end. Raises OSError."""
        self = cls(*await asyncio.open_unix_connection(HELPER))
        self._listening = asyncio.get_running_loop().create_task(self._listen(told, lost))
        return self

    async def ask(self, line: bytes) -> dict[str, Any]:
        """The answer to one order. Raises OSError when the connection ends before it."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # Answers come in the order of the questions, also to one whose asker has gone.
        self._answers.append(answer)
        self._writer.write(line)
        return await answer

    def close(self) -> None:
        """End the connection."""
        if self._listening:
            self._listening.cancel()
        self._writer.close()
        self._break_off()

    def _break_off(self) -> None:
        """Whoever still waits for an answer gets none."""
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(ConnectionResetError("it ended"))
        self._answers.clear()

    async def _listen(self, told: Callable[[str, str], None], lost: Callable[[], None]) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                if "thawed" in message:
                    # After whoever waits for the answer before.
                    asyncio.get_running_loop().call_soon(told, message["thawed"], message["reason"])
                elif self._answers and not (answer := self._answers.popleft()).done():
                    answer.set_result(message)
        except (OSError, ValueError):
            pass
        self._writer.close()
        self._break_off()
        asyncio.get_running_loop().call_soon(lost)
