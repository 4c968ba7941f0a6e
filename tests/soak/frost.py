"""What is frozen, as the kernel has it, and kills of those that freeze and thaw."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl.lab import Lab

#: Seconds until a service that was ended is back, and until all that it left runs then. What stops without use has
#: longer until that.
_BACK, _ALL_RUN = 60.0, 2.5
_PAUSE = 0.01


class _Stopped(NamedTuple):
    """A stopped process: whose it is, and how often it was switched away from, which changes as soon as it runs."""

    unit: str
    switches: str


def stopped(lab: Lab) -> set[str]:
    """The units of projects that have stopped processes."""
    return {process.unit for process in _all_stopped(lab).values()}


def frozen(lab: Lab) -> set[str]:
    """Those all of whose processes are stopped: of one that thaws parents still are, for a while."""
    every = _processes(lab, "projctl.slice")
    return set(every.values()) - {unit for pid, unit in every.items() if not _look(pid, unit)}


def kill(lab: Lab, unit: str) -> set[str]:
    """SIGKILL to a service as soon as it runs; the units with processes that were stopped before and have not run
    since, though it has cleared up or is back: whoever froze them does not know of them any more.
    """
    _wait(lambda: _processes(lab, f"system.slice/{unit}", clearing=False), f"{unit} running")
    before, killed = _all_stopped(lab), _processes(lab, f"system.slice/{unit}", clearing=False)
    for pid in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cleared = False

    def over() -> bool:
        nonlocal cleared
        clearing = _processes(lab, f"system.slice/{unit}", clearing=True)
        was_cleared, cleared = cleared and not clearing, cleared or bool(clearing)
        return was_cleared or bool(
            _processes(lab, f"system.slice/{unit}", clearing=False).keys() - killed.keys()
        )

    _wait(over, f"{unit} cleared up or back")
    deadline = time.monotonic() + _ALL_RUN
    while left := {process.unit for pid, process in before.items() if _look(pid, process.unit) == process}:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    return left


def _wait(what: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + _BACK
    while not what():
        assert time.monotonic() < deadline, f"waited {_BACK:g} s for: {why}"
        time.sleep(_PAUSE)


def _all_stopped(lab: Lab) -> dict[int, _Stopped]:
    found = {pid: _look(pid, unit) for pid, unit in _processes(lab, "projctl.slice").items()}
    return {pid: process for pid, process in found.items() if process}


def _look(pid: int, unit: str) -> _Stopped | None:
    """The process if it is stopped, see proc_pid_status(5)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    fields = dict(line.partition(":\t")[::2] for line in lines)
    if fields["State"][0] not in "Tt":
        return None
    return _Stopped(unit, " ".join(fields[f"{kind}_ctxt_switches"] for kind in ("voluntary", "nonvoluntary")))


def _processes(lab: Lab, group: str, *, clearing: bool | None = None) -> dict[int, str]:
    """The processes in a control group of the lab and below it, and the name of the one that each is in; only those
    that clear up after a helper, or only the others, where that is given.
    """
    found: dict[int, str] = {}
    for place, _, _ in os.walk(lab.file(f"/sys/fs/cgroup/{group}")):
        with contextlib.suppress(OSError):  # it has gone meanwhile
            pids = Path(place, "cgroup.procs").read_text().split()
            found |= dict.fromkeys(map(int, pids), Path(place).name)
    return {pid: name for pid, name in found.items() if clearing is None or _clears(pid) is clearing}


def _clears(pid: int) -> bool | None:
    """Whether it is what a helper leaves after it; None where it has gone, or does not execute its program yet."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return b"--thaw" in words if any(b"projctl" in word for word in words) else None
