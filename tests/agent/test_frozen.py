"""Stopped processes and the order in which they go on, with real ones."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from projctl_agent import cgroup
from projctl_agent.helper import freezer, processes
from projctl_agent.helper.duplicates import Duplicates
from projctl_agent.helper.frozen import Frozen
from projctl_agent.helper.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A parent that listens on what it is passed, and a child that has it open too, or not.
PARENT = """
import subprocess, sys
shared = [int(number) for number in sys.argv[1:]]
print(subprocess.Popen(["sleep", "1000"], pass_fds=shared).pid, flush=True)
sys.stdin.read()
"""
USERS = "/user.slice/user-1000.slice/user@1000.service"


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until(pid: int, *states: str) -> None:
    deadline = time.monotonic() + 30
    while state(pid) not in states:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def family(listener: socket.socket, *, shared: bool) -> Iterator[tuple[int, int]]:
    """A parent and its child, stopped."""
    number = listener.fileno()
    words = [sys.executable, "-c", PARENT, *([str(number)] if shared else [])]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, pass_fds=[number], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        for pid in (parent.pid, child):
            os.kill(pid, signal.SIGSTOP)
            wait_until(pid, "T")
        try:
            yield parent.pid, child
        finally:
            for pid in (child, parent.pid):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[Frozen]:
    found = Frozen(lambda _service, _reason: None)
    found.held = [Process(pid, os.pidfd_open(pid)) for pid in pids]
    found.duplicates = Duplicates(found.held)
    found.part()
    yield found
    found.let_go()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


@pytest.mark.parametrize("shared", [True, False])
def test_a_parent_waits_only_for_children_that_can_serve(listener: socket.socket, *, shared: bool) -> None:
    with (
        family(listener, shared=shared) as (parent, child),
        frozen(parent, child) as found,
        socket.create_connection(listener.getsockname()),
    ):
        assert found.duplicates
        found.wake(found.duplicates.ready())
        wait_until(child, "S")
        if shared:
            assert state(parent) == "T"
            found.let_go()
        wait_until(parent, "S", "R")


def test_what_called_is_told_without_a_descriptor_left(listener: socket.socket) -> None:
    with (
        family(listener, shared=True) as pids,
        frozen(*pids) as found,
        socket.create_connection(listener.getsockname()),
    ):
        assert found.duplicates
        ready = found.duplicates.ready()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            assert found.duplicates.what(ready) == "connection"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("ours", "place", "goes_on"),
    [
        ("/system.slice/projctl-agent-helper.service", "/projctl.slice", True),
        (f"{USERS}/app.slice/projctl-agent.service", f"{USERS}/projctl.slice", True),
        (f"{USERS}/app.slice/projctl-agent.service", "/projctl.slice", False),
    ],
)
def test_a_sweep_is_for_projects_of_the_manager_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: str, place: str, *, goes_on: bool
) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / ours.lstrip("/")).mkdir(parents=True)
    group = tmp_path / place.lstrip("/")
    group.mkdir(parents=True)
    monkeypatch.setattr(cgroup, "_ROOT", tmp_path)
    monkeypatch.setattr(cgroup, "of", lambda _pid: ours)
    one = subprocess.Popen(["sleep", "1000"])
    try:
        (group / "cgroup.procs").write_text(f"{one.pid}\n")
        one.send_signal(signal.SIGSTOP)
        wait_until(one.pid, "T")
        processes.sweep()
        if goes_on:
            wait_until(one.pid, "S")
        else:
            time.sleep(0.1)
            assert state(one.pid) == "T"
    finally:
        one.kill()
        one.wait()


def test_a_reclaim_ends_when_its_server_goes_on(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text(f"{1 << 30}\n")
    os.mkfifo(tmp_path / "memory.reclaim")
    still, written = iter([True, True, False]), []

    def is_frozen() -> bool:
        written.append(reader.readline())
        return next(still)

    number = os.open(tmp_path / "memory.reclaim", os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(number) as reader:
        freezer._reclaim(tmp_path, is_frozen)
        written.append(reader.readline())
    assert written == ["", "16777216", "16777216", ""]
