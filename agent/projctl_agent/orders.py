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
#: Seconds for the helper to start and to answer anything, while it is asked.
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
        self._asking = 0
        self._reclaiming = asyncio.Lock()
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
        """Move the memory of a frozen service out of the way. Raises BusError when it is refused.

        That takes its time: it is asked on a connection of its own, one after another, and holds up nothing else.
        """
        async with self._reclaiming:
            if service not in self.frozen:
                return
            try:
                await (self._freezer.reclaim(service) if self._freezer else self._reclaim(service))
            except RefusedError as error:
                raise BusError(str(error)) from None

    async def _reclaim(self, service: str) -> None:
        try:
            session = await _Session.open(
                lambda _service, _reason: None, lambda _session: None, patience=None
            )
            try:
                answer = await session.ask(requests.line(reclaim=service))
            finally:
                session.close()
        except OSError as error:
            raise _unasked(Verb.RECLAIM, service, error) from None
        _checked(answer)

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
        self._lost(self._session)

    def _told(self, service: str, reason: str) -> None:
        if frost := self.frozen.pop(service, None):
            self._thawed(service, frost, reason)

    def _lost(self, session: _Session | None) -> None:
        """Whatever ends the connection: the helper has thawed all of it."""
        if session is self._session:
            self._session = None
        for service in list(self.frozen):
            self._told(service, "lost")

    async def _ask(self, verb: Verb, what: str | list[int]) -> dict[str, Any]:
        self._asking += 1
        try:
            session = await self._opened()
            answer = await session.ask(requests.line(**{verb: what}))
        except OSError as error:
            self._look()
            raise _unasked(verb, what, error) from None
        finally:
            self._asking -= 1
        if verb in _PASSING and not self.frozen and not self._asking and session is self._session:
            session.close()  # the helper ends when nobody is connected
            self._session = None
        return _checked(answer)

    async def _opened(self) -> _Session:
        async with self._opening:
            self._look()
            if self._session is None:
                self._session = await _Session.open(self._told, self._lost, patience=_PATIENCE)
            return self._session

    def _look(self) -> None:
        """Whether the connection is there still: its end is told a moment later."""
        if self._session and self._session.ended:
            self._lost(self._session)


def _unasked(verb: Verb, what: object, error: OSError) -> BusError:
    return BusError(f"cannot ask projctl-agent-helper for {verb} {what}: {error}")


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise BusError(str(answer["error"]))
    return answer


class _Session:
    """One connection to the helper: what was frozen through it thaws when it ends.

    It ends when no answer came for `patience` seconds that somebody waited for one; None waits as long as it lasts.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float | None
    ) -> None:
        self._reader, self._writer, self._patience = reader, writer, patience
        self._listening: asyncio.Task[None] | None = None
        self._answers: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._late: asyncio.TimerHandle | None = None
        self.ended = False

    @classmethod
    async def open(
        cls, told: Callable[[str, str], None], lost: Callable[[_Session], None], *, patience: float | None
    ) -> _Session:
        """Connect; `told` hears what thawed by itself, `lost` of the end. Raises OSError."""
        async with asyncio.timeout(patience):
            self = cls(*await asyncio.open_unix_connection(HELPER), patience)
        self._listening = asyncio.get_running_loop().create_task(self._listen(told, lost))
        return self

    async def ask(self, line: bytes) -> dict[str, Any]:
        """The answer to one order. Raises OSError when the connection ends before it."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # Answers come in the order of the questions, also to one whose asker has gone.
        self._answers.append(answer)
        self._writer.write(line)
        if self._late is None:
            self._wait()
        return await answer

    def _wait(self) -> None:
        """Be patient with the helper from now on."""
        if self._late:
            self._late.cancel()
            self._late = None
        if self._answers and self._patience:
            # An answer that came later would be taken for that to another question.
            self._late = asyncio.get_running_loop().call_later(self._patience, self._writer.transport.abort)

    def close(self) -> None:
        """End the connection."""
        if self._listening:
            self._listening.cancel()
        self._end()

    def _end(self) -> None:
        """Whoever still waits for an answer gets none."""
        self.ended = True
        self._writer.close()
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(ConnectionResetError("it ended"))
        self._answers.clear()
        self._wait()

    async def _listen(self, told: Callable[[str, str], None], lost: Callable[[_Session], None]) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                if "thawed" in message:
                    # After whoever waits for the answer before.
                    asyncio.get_running_loop().call_soon(told, message["thawed"], message["reason"])
                elif self._answers:
                    if not (answer := self._answers.popleft()).done():
                        answer.set_result(message)
                    self._wait()
        except (OSError, ValueError):
            pass
        self._end()
        asyncio.get_running_loop().call_soon(lost, self)
