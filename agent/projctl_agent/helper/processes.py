"""Stops and continues the processes of a control group, each by a descriptor that no reuse of its number misleads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from projctl_agent import cgroup
from projctl_agent.helper import signs
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Looks for processes that came meanwhile; who still forks then is not idle.
_ROUNDS = 5
#: Seconds for a process to stop: one that waits for a disk does so later.
_PATIENCE = 1.0
#: Seconds that children run before their parents do: a parent that was stopped while it waited for a child's answer
#: finds its patience over when it goes on.
HEAD_START = 0.01
#: The control group of a user's own manager: what is above it is the system's.
_MANAGER = re.compile(r"user@\d+\.service")
_STOPPED, _GONE = frozenset("Tt"), frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class Process:
    """One process that is held."""

    pid: int
    descriptor: int

    def stop(self) -> None:
        """Stop it; no error where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue it; no error where it has ended, or for whatever else: there are others to go on."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGCONT)

    def close(self) -> None:
        """Forget it."""
        os.close(self.descriptor)


async def stop(place: Path, held: list[Process]) -> None:
    """Stop all processes of a group and add each to `held` before that. Raises RefusedError or OSError."""
    for _ in range(_ROUNDS):
        new = _open_new(place, {process.pid for process in held})
        if not new and held:
            return
        held += new
        for process in new:
            process.stop()
        await _settle(new)
    raise RefusedError("its processes come and go" if held else "it has no processes that can be seen")


def _open_new(place: Path, known: set[int]) -> list[Process]:
    opened = []
    for pid in set(cgroup.processes(place)) - known:
        with contextlib.suppress(ProcessLookupError):
            opened.append(Process(pid, os.pidfd_open(pid)))
    # A number that the group still has after its descriptor was opened belongs to that very process.
    there = set(cgroup.processes(place))
    for process in opened:
        if process.pid not in there:
            os.close(process.descriptor)
    return [process for process in opened if process.pid in there]


async def _settle(processes: list[Process]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while any(_state(process.pid) not in _STOPPED | _GONE for process in processes):
        if time.monotonic() > deadline:
            raise RefusedError("a process of it cannot be stopped now")
        await asyncio.sleep(0.001)


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _stat(pid: int) -> tuple[str, int]:
    """State and parent of a process, see proc_pid_stat(5); X where there is none."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return "X", 0
    return state, int(parent)


def families(pids: Iterable[int]) -> dict[int, set[int]]:
    """Those among the processes that are parents of others among them, and the children of each."""
    pids = set(pids)
    found: dict[int, set[int]] = {}
    for pid in pids:
        if (parent := _stat(pid)[1]) in pids:
            found.setdefault(parent, set()).add(pid)
    return found


def sweep() -> None:
    """Continue whatever is stopped below projctl.slice of the manager that this program runs under."""
    stopped = {pid for pid in cgroup.processes(_slice()) if _state(pid) in _STOPPED}
    leading = families(stopped)
    for pid in stopped - leading.keys():
        _continue(pid)
    if leading:
        time.sleep(HEAD_START)
    for pid in leading:
        _renew(pid)
        _continue(pid)


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGCONT)


def _renew(pid: int) -> None:
    with contextlib.suppress(OSError):
        process = Process(pid, os.pidfd_open(pid))
        found = signs.find(process)
        signs.renew(found)
        for descriptor in (*found, process.descriptor):
            os.close(descriptor)


def _slice() -> Path:
    """The nearest projctl.slice above this process's own control group, none of the system's for a user's manager."""
    above = list(cgroup.directory(cgroup.of("self")).parents)
    manager = next((n for n, place in enumerate(above) if _MANAGER.fullmatch(place.name)), len(above))
    slices = [place / "projctl.slice" for place in above[: manager + 1]]
    top = slices[-1] if manager < len(above) else cgroup.directory("/projctl.slice")
    return next((place for place in slices if place.is_dir()), top)
