"""What a service's control group used: CPU, memory now and at its peak, processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psutil

_ROOT = Path("/sys/fs/cgroup")


class Figures(NamedTuple):
    """What a run cost: CPU seconds, bytes of memory now and at its peak; None where it is not known."""

    cpu_seconds: float | None
    memory_bytes: int | None
    memory_peak_bytes: int | None


def directory(control_group: str) -> Path:
    """Where the control group is mounted: cgroup2, alone or beside the old hierarchies."""
    unified = _ROOT if (_ROOT / "cgroup.controllers").exists() else _ROOT / "unified"
    return unified / control_group.lstrip("/")


def identity(control_group: str) -> int | None:
    """The kernel's id of the group, as socket tables name it; None when there is no such group."""
    try:
        return directory(control_group).stat().st_ino
    except OSError:
        return None


def cpu_seconds(control_group: str) -> float | None:
    """CPU time of the group so far; None when it cannot be read."""
    try:
        with (directory(control_group) / "cpu.stat").open() as lines:
            for line in lines:
                key, _, value = line.partition(" ")
                if key == "usage_usec":
                    return int(value) / 1e6
    except (OSError, ValueError):
        pass
    return None


def figures(control_group: str) -> Figures:
    """All figures at once, as far as this kernel tells."""
    place = directory(control_group)
    return Figures(cpu_seconds(control_group), memory_bytes(control_group), _number(place / "memory.peak"))


def memory_bytes(control_group: str) -> int | None:
    """memory.current; without a memory controller the sum over the group's processes (PSS, else RSS)."""
    current = _number(directory(control_group) / "memory.current")
    return memory_of_processes(control_group) if current is None else current


def memory_of_processes(control_group: str) -> int | None:
    """Bytes of the group's processes by /proc: PSS where readable, else RSS; None without a process."""
    import psutil  # only where the kernel has no memory controller

    total, found = 0, False
    for pid in processes(directory(control_group)):
        try:
            total += _memory_of(psutil.Process(pid))
            found = True
        except psutil.Error:
            continue
    return total if found else None


def _memory_of(process: psutil.Process) -> int:
    import psutil

    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


def tasks(control_group: str) -> tuple[int, int]:
    """How many processes and threads the group has now."""
    place = directory(control_group)
    return sum(1 for _ in processes(place)), sum(1 for _ in _identities(place, "cgroup.threads"))


def of(pid: int | str) -> str:
    """The control group that a process is in; / where it has gone, or is in none of version 2."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return "/"
    return next((line.removeprefix("0::") for line in groups if line.startswith("0::")), "/")


def processes(place: Path) -> Iterator[int]:
    """The processes of a group and the groups below it; those that come or go meanwhile may be missed."""
    yield from _identities(place, "cgroup.procs")


def _identities(place: Path, name: str) -> Iterator[int]:
    for directory in _groups(place):
        try:
            lines = Path(directory, name).read_text().split()
        except OSError:
            continue  # one of many groups that goes meanwhile is no end of the others
        yield from map(int, lines)


def _groups(place: Path) -> Iterable[Path | str]:
    try:
        # A directory without others below it has two links; searching it would take longer than all else.
        if place.stat().st_nlink <= 2:
            return [place]
    except OSError:
        return []
    return (directory for directory, _, _ in os.walk(place))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
