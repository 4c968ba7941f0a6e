"""The connection to systemd that fails: what is left of it, and what an answer that does not come is taken for."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from dbus_fast import Message, MessageType, Variant

from projctl_agent import fleet as fleet_
from projctl_agent.bus import UNIT, Bus, BusError, Listener, UnansweredError, UnitRow
from projctl_agent.fleet import Fleet
from projctl_agent.lifecycle import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbus_fast.aio import MessageBus

LISTENER = Listener(lambda _unit, _changed: None, lambda: None)
SERVICE = "projctl-shop.service"
ERROR = "org.freedesktop.DBus.Error"


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bus on which nobody is called systemd."""
    command = [
        "dbus-daemon",
        "--session",
        "--nofork",
        f"--address=unix:path={tmp_path}/bus",
        "--print-address",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", process.stdout.readline().strip())
        yield
        process.terminate()


@pytest.mark.usefixtures("daemon")
def test_a_connection_on_which_nobody_answers_is_closed() -> None:
    async def fail() -> int:
        with pytest.raises(BusError):
            await Bus.connect(LISTENER, user=True)
        await asyncio.sleep(0.01)
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # the dbus-fast of Debian 13 closes what has ended with its object
        return len(list(Path("/proc/self/fd").iterdir()))

    async def fail_often() -> set[int]:
        return {await fail() for _ in range(5)}

    assert len(asyncio.run(fail_often())) == 1


class Answering:
    """Answers each question for a property of a unit by what is known under its name, an error or a value."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known

    def add_message_handler(self, _handler: object) -> None:
        """Nothing is ever told."""

    async def call(self, message: Message) -> Message:
        answer = self._known[message.body[1]]
        if answer.startswith(ERROR):
            return Message(
                message_type=MessageType.ERROR, error_name=answer, reply_serial=1, signature="s", body=["no"]
            )
        body = [Variant("s", answer)]
        return Message(message_type=MessageType.METHOD_RETURN, reply_serial=1, signature="v", body=body)


def ask(**known: str) -> list[Any]:
    async def work() -> list[Any]:
        bus = Bus(cast("MessageBus", Answering(known)), LISTENER)
        return await bus.properties(*((SERVICE, UNIT, name) for name in known))

    return asyncio.run(work())


def test_what_systemd_refuses_is_not_known_but_what_it_does_not_answer_is_an_error() -> None:
    assert ask(ActiveState="active", Nonsense=f"{ERROR}.UnknownProperty") == ["active", None]
    for silence in ("NoReply", "Disconnected"):
        with pytest.raises(UnansweredError):
            ask(ActiveState="active", SubState=f"{ERROR}.{silence}")


class Silent:
    """A connection to a systemd that runs one project, and tells nothing of sockets, or of the project's unit."""

    def __init__(self, directory: Path, *, of_sockets: bool) -> None:
        self._unit = directory / SERVICE
        self._unit.write_text("[X-Projctl]\nProject=shop\n")
        self._of_sockets = of_sockets
        self._cut = asyncio.Event()
        self.closed = False

    async def lost(self) -> None:
        await self._cut.wait()

    def close(self) -> None:
        self.closed = True

    async def list_units(self, patterns: list[str], _states: list[str]) -> list[UnitRow]:
        if self._of_sockets and patterns == ["projctl-*.socket"]:
            raise UnansweredError("cannot get an answer to ListUnitsByPatterns")
        row = UnitRow(SERVICE, "", "loaded", "active", "running", "", "", 0, "", "")
        return [row] if patterns == ["projctl-*.service"] else []

    async def properties(self, *wanted: tuple[str, str, str]) -> list[Any]:
        if not self._of_sockets:
            self._cut.set()
            raise UnansweredError("cannot get an answer to Get: connection lost")
        known = {"FragmentPath": str(self._unit), "ActiveState": "active", "ControlGroup": "/none"}
        return [known.get(name) for _, _, name in wanted]

    async def loaded(self) -> int:
        return 1


@pytest.mark.parametrize("of_sockets", [True, False])
def test_nothing_stays_with_a_connection_that_did_not_tell_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_sockets: bool
) -> None:
    """Another one would leave what is watched to the first, which tells of nothing any more."""
    bus: Silent

    async def connect(_listener: Listener, *, user: bool) -> Bus:
        nonlocal bus
        bus = Silent(tmp_path, of_sockets=of_sockets)
        return cast("Bus", bus)

    async def work() -> None:
        fleet = Fleet(Ledger, lambda: None, lambda: None, lambda _: None, {}, lambda _: None)
        async with asyncio.timeout(30):
            with pytest.raises(BusError):
                await fleet.connect(user=True)
        assert bus.closed
        assert not fleet.connected
        assert fleet.watches() == {}

    monkeypatch.setattr(fleet_.Bus, "connect", connect)
    asyncio.run(work())


class Idle(Silent):
    """A systemd that has no units and knows nothing."""

    def __init__(self) -> None:
        pass

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def list_units(self, patterns: list[str], states: list[str]) -> list[UnitRow]:
        return []

    async def properties(self, *wanted: tuple[str, str, str]) -> list[Any]:
        return [None] * len(wanted)


def test_two_reloads_at_once_leave_nobody_who_asks_a_connection_that_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Busy(Idle):
        silent = False

        async def list_units(self, patterns: list[str], states: list[str]) -> list[UnitRow]:
            if self.silent:
                raise UnansweredError("it reloads")
            return []

    bus = Busy()

    async def connect(_listener: Listener, *, user: bool) -> Bus:
        return cast("Bus", bus)

    async def work() -> None:
        fleet = Fleet(Ledger, lambda: None, lambda: None, lambda _: None, {}, lambda _: None)
        await fleet.connect(user=True)
        bus.silent = True
        for _ in range(2):
            fleet._reloaded()
            await asyncio.sleep(0.05)
        fleet.disconnect()
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    monkeypatch.setattr(fleet_.Bus, "connect", connect)
    asyncio.run(work())


def test_after_a_reload_sockets_that_failed_are_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked of them meanwhile may have got no answer."""
    asked: list[str] = []

    class Asked(Idle):
        async def list_units(self, patterns: list[str], states: list[str]) -> list[UnitRow]:
            asked.extend(patterns if states == ["failed"] else ())
            return []

    async def connect(_listener: Listener, *, user: bool) -> Bus:
        return cast("Bus", Asked())

    async def work() -> None:
        fleet = Fleet(Ledger, lambda: None, lambda: None, lambda _: None, {}, lambda _: None)
        await fleet.connect(user=True)
        asked.clear()
        fleet._reloaded()
        async with asyncio.timeout(30):
            while not asked:
                await asyncio.sleep(0.01)
        fleet.disconnect()

    monkeypatch.setattr(fleet_.Bus, "connect", connect)
    asyncio.run(work())
    assert asked == ["projctl-*.socket"]
