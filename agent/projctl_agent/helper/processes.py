"""Stops and continues the processes of a control group, each by a descriptor that no reuse of its number misleads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from projctl_agent import cgroup
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Looks for processes that came meanwhile; who still forks then is not idle.
_ROUNDS = 5
#: Seconds for a process to stop: one that waits for a disk does so later.
_PATIENCE = 1.0
#: Seconds that children run before their parents do, at the most: gunicorn's workers give a sign of life a second, and
#: their parent would kill those whose last one is from before the freeze.
HEAD_START = 1.5
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


def parents(pids: Iterable[int]) -> set[int]:
    """Those among the processes that are parents of others among them."""
    pids = set(pids)
    return {_stat(pid)[1] for pid in pids} & pids


def sweep() -> None:
    """Continue whatever is stopped below projctl.slice of the manager that this program runs under."""
    stopped = {pid for pid in cgroup.processes(_slice()) if _state(pid) in _STOPPED}
    leading = parents(stopped)
    for turn in (stopped - leading, leading):
        for pid in turn:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)
        if leading and turn is not leading:
            time.sleep(HEAD_START)


def _slice() -> Path:
    """The nearest projctl.slice above this process's own control group."""
    above = (parent / "projctl.slice" for parent in cgroup.directory(cgroup.of("self")).parents)
    return next((place for place in above if place.is_dir()), cgroup.directory("/projctl.slice"))
