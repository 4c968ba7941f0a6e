"""What the service manager is told, and when."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING

import pytest
from processes import Connect, ask, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Manager:
    """Receives what services tell their manager."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def next(self, seconds: float = 60) -> list[str]:
        """The lines of the next message; none when none comes in time."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(4096).decode().split("\n")
        except TimeoutError:
            return []

    def until(self, line: str) -> list[str]:
        """All lines up to and with the one that matches."""
        lines: list[str] = []
        while not any(re.fullmatch(line, told) for told in lines):
            heard = self.next()
            assert heard, f"no {line} after {lines}"
            lines += heard
        return lines

    def drain(self) -> None:
        """Forget what has come so far."""
        while self.next(0.05):
            pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def test_ready_figures_and_stopping(manager: Manager, connect: Connect) -> None:
    words = ["a=shop:app", "b=shop:admin", "--listen", "a=0", "--listen", "b=0"]
    with running(*words, environment={"NOTIFY_SOCKET": manager.address}) as runner:
        assert manager.next() == ["READY=1", "STATUS=0 requests served, 0 connections"]
        assert runner.wait_for("lifespan startup")
        for name in ("a", "b", "b"):
            ask(connect(runner, name))
        assert manager.until("STATUS=3 requests served, .*")
        assert runner.stop() == 0
    assert manager.until("STOPPING=1")


def test_nothing_is_ready_while_an_application_starts(manager: Manager) -> None:
    words = ["a=shop:app", "b=faulty:slow_start", "--listen", "a=0", "--listen", "b=0"]
    with running(*words, environment={"NOTIFY_SOCKET": manager.address}) as runner:
        runner.wait_for("starting")
        assert manager.next(0.5) == []
        assert runner.stop() == 0
        assert "lifespan shutdown" in runner.lines  # of the one that had started


def test_signs_of_life_come_from_the_loop(manager: Manager, connect: Connect) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    with running("shop:app", "--listen", "0", environment=environment) as runner:
        for _ in range(3):
            manager.until("WATCHDOG=1")
        hang = connect(runner)
        hang.request("GET", "/hang?3")
        runner.wait_for("hang begun")
        manager.drain()
        assert manager.next(1) == []
        assert hang.getresponse().status == 200
        manager.until("WATCHDOG=1")
        assert runner.stop() == 0


def test_signs_of_life_go_on_while_it_finishes(manager: Manager, connect: Connect) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    with running("shop:app", "--listen", "0", environment=environment) as runner:
        connect(runner).request("GET", "/slow?1.5")
        runner.wait_for("slow begun")
        runner.send()
        manager.until("STOPPING=1")
        manager.until("WATCHDOG=1")
        assert runner.end() == 0


def test_a_watchdog_of_another_process_is_not_fed(manager: Manager) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
    with running("shop:app", "--listen", "0", environment=environment) as runner:
        manager.until("READY=1")
        time.sleep(0.3)
        assert "WATCHDOG=1" not in manager.next(0.1)
        assert runner.stop() == 0


def test_a_manager_that_is_gone_is_no_error(connect: Connect, tmp_path: Path) -> None:
    with running("shop:app", "--listen", "0", environment={"NOTIFY_SOCKET": f"{tmp_path}/gone"}) as runner:
        assert ask(connect(runner))[0].status == 200
        assert runner.stop() == 0
