"""systemd over D-Bus: units, properties, changes, and the few orders that are given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from projctl_agent.names import PATH_PREFIX, object_path, unit_of_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Answer = TypeVar("_Answer")

_SYSTEMD = "org.freedesktop.systemd1"
_MANAGER_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_UNIT = "org.freedesktop.systemd1.Unit"
UNIT, SERVICE, SOCKET = _UNIT, "org.freedesktop.systemd1.Service", "org.freedesktop.systemd1.Socket"
TIMER = "org.freedesktop.systemd1.Timer"
SLICE = "org.freedesktop.systemd1.Slice"
#: Seconds to wait for an answer of the manager; a daemon-reload of a large fleet takes some.
_PATIENCE = 25.0
#: What the bus answers in place of one who has gone.
_NO_ANSWER = frozenset(
    f"org.freedesktop.DBus.Error.{name}" for name in ("NoReply", "Disconnected", "Timeout", "TimedOut")
)
#: Seconds until a question that systemd did not answer is repeated.
_PAUSE = 1.0
#: Questions that may be under way: dbus-fast fails, and the connection with it, once the socket's buffer is full.
_AT_ONCE = 64
#: Seconds for which to stay awake for answers: they come at once, and each would wake the agent.
_STAY = 0.01
_MATCHES = (
    f"type='signal',sender='{_SYSTEMD}',interface='{_PROPERTIES}',member='PropertiesChanged',"
    f"path_namespace='/org/freedesktop/systemd1/unit',arg0='{_UNIT}'",
    f"type='signal',sender='{_SYSTEMD}',interface='{_MANAGER}',member='Reloading'",
)


class BusError(Exception):
    """systemd cannot be reached, or refused; the text says what and why, in one line."""


class UnansweredError(BusError):
    """Nobody tells whether systemd did it: the connection was cut, or systemd was starting itself anew."""


class UnitRow(NamedTuple):
    """One unit as ListUnits gives it."""

    name: str
    description: str
    load_state: str
    active_state: str
    sub_state: str
    following: str
    path: str
    job_id: int
    job_type: str
    job_path: str


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told of a unit's changed properties and of a finished daemon-reload."""

    changed: Callable[[str, dict[str, Any]], None]
    reloaded: Callable[[], None]


class Bus:
    """One connection to the bus of the system or the user; lost() tells when it is cut."""

    def __init__(self, bus: MessageBus, listener: Listener) -> None:
        self._bus = bus
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._open = 0
        self._staying: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._listener = listener
        bus.add_message_handler(self._receive)

    @classmethod
    async def connect(cls, listener: Listener, *, user: bool) -> Bus:
        """A connection on which changes are reported. Raises BusError."""
        try:
            address = _user_address() if user else None
            bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM)
            # Its own auth_timeout is younger than the dbus-fast of Debian 13.
            async with asyncio.timeout(_PATIENCE):
                await bus.connect()
        except TimeoutError:
            raise BusError(f"cannot connect to the bus within {_PATIENCE:g} s") from None
        except Exception as error:  # dbus-fast raises more than it names
            raise BusError(f"cannot connect to the {'session' if user else 'system'} bus: {error}") from None
        self = cls(bus, listener)
        try:
            await self._subscribe()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Cut the connection."""
        self._bus.disconnect()

    async def lost(self) -> None:
        """Return when the connection is gone."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())
        await asyncio.wait([self._ending])  # who waits no longer leaves it to others

    async def list_units(self, patterns: list[str], states: list[str]) -> list[UnitRow]:
        """The loaded units of these names and states (none given: all states)."""
        rows = (await self._manager("ListUnitsByPatterns", states, patterns, signature="asas"))[0]
        return [UnitRow(*row) for row in rows]

    async def list_unit_files(self, patterns: list[str]) -> list[str]:
        """The names of installed unit files that match. Raises BusError."""
        rows = (await self._manager("ListUnitFilesByPatterns", [], patterns, signature="asas"))[0]
        return [path.rpartition("/")[2] for path, _ in rows]

    async def properties(self, *wanted: tuple[str, str, str]) -> list[Any]:
        """The values of (unit, interface, property), asked for at once; None for each that systemd refuses.

        Raises UnansweredError where it answers one of them not at all.
        """
        asked = asyncio.gather(
            *(self._property(unit, interface, name) for unit, interface, name in wanted),
            return_exceptions=True,
        )
        self._stay_awake()
        answers = await asked
        values = []
        for answer in answers:
            unknown = isinstance(answer, UnansweredError)
            if isinstance(answer, BaseException) and (unknown or not isinstance(answer, BusError)):
                raise answer
            values.append(None if isinstance(answer, BaseException) else answer)
        return values

    async def loaded(self) -> int:
        """When systemd loaded its units, in monotonic microseconds: each reload is another. Raises BusError."""
        return int(await self._get(_MANAGER_PATH, _MANAGER, "UnitsLoadTimestampMonotonic"))

    async def stop_unit(self, unit: str) -> None:
        """Order a stop; returns when the job is queued. Raises BusError when systemd refuses."""
        await self._manager("StopUnit", unit, "replace", signature="ss")

    async def start_unit(self, unit: str) -> None:
        """Order a start; returns when the job is queued. Raises BusError when systemd refuses."""
        await self._manager("StartUnit", unit, "replace", signature="ss")

    async def reset_failed(self, unit: str) -> None:
        """Forget that a unit failed. Raises BusError when systemd refuses."""
        await self._manager("ResetFailedUnit", unit)

    async def count_bytes(self, unit: str) -> None:
        """Say again, until the next boot, that the unit counts its traffic. Raises BusError when systemd refuses."""
        counting = [["IPAccounting", Variant("b", True)]]
        await self._manager("SetUnitProperties", unit, True, counting, signature="sba(sv)")

    async def _end(self) -> None:
        with contextlib.suppress(Exception):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def _subscribe(self) -> None:
        for rule in _MATCHES:
            await self._ask(
                "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", rule
            )
        await self._manager("Subscribe")

    def _stay_awake(self) -> None:
        if self._staying is None or self._staying.done():
            self._staying = asyncio.get_running_loop().create_task(self._stay())

    async def _stay(self) -> None:
        until = time.monotonic() + _STAY
        while self._open and time.monotonic() < until:
            os.sched_yield()  # to who answers
            await asyncio.sleep(0)

    async def _property(self, unit: str, interface: str, name: str) -> Any:  # noqa: ANN401
        return await self._get(object_path(unit), interface, name)

    async def _get(self, path: str, interface: str, name: str) -> Any:  # noqa: ANN401
        return (await self._ask(_SYSTEMD, path, _PROPERTIES, "Get", interface, name, signature="ss"))[0].value

    async def _manager(self, member: str, *body: object, signature: str = "s") -> list[Any]:
        return await self._ask(_SYSTEMD, _MANAGER_PATH, _MANAGER, member, *body, signature=signature)

    async def _ask(
        self, destination: str, path: str, interface: str, member: str, *body: object, signature: str = "s"
    ) -> list[Any]:
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature if body else "",
            body=list(body),
        )
        try:
            async with self._places, asyncio.timeout(_PATIENCE):
                self._open += 1
                try:
                    reply = await self._bus.call(message)
                finally:
                    self._open -= 1
        except TimeoutError:
            raise UnansweredError(f"cannot get an answer to {member} within {_PATIENCE:g} s") from None
        except (DBusError, OSError, EOFError) as error:
            raise UnansweredError(f"cannot ask systemd for {member}: {error}") from None
        if reply is None or reply.error_name in _NO_ANSWER:
            raise UnansweredError(f"cannot get an answer to {member}: connection lost")
        if reply.message_type is not MessageType.METHOD_RETURN:
            raise BusError(f"cannot do {member}: {reply.body[0] if reply.body else reply.error_name}")
        return list(reply.body)

    def _receive(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        path = message.path or ""
        if message.member == "PropertiesChanged" and path.startswith(PATH_PREFIX):
            changed = {key: variant.value for key, variant in message.body[1].items()}
            self._listener.changed(unit_of_path(path), changed)
        elif message.member == "Reloading" and message.body == [False]:
            self._listener.reloaded()


async def insist(work: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Do it again until systemd answers; a cut connection is to cancel it."""
    while True:
        try:
            return await work()
        except BusError:
            await asyncio.sleep(_PAUSE)


def _user_address() -> str:
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    if directory := os.environ.get("XDG_RUNTIME_DIR"):
        return f"unix:path={directory}/bus"
    raise OSError("XDG_RUNTIME_DIR is not set: is this a user's session?")
