"""What labs leave on this machine: processes, cgroups, mounts, files."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


#: Words in the names of what a lab makes; other programs of this machine come and go meanwhile.
_OURS = ("projctl-", "nspawn", "machine")


def snapshot() -> frozenset[str]:
    """What is in the tables and directories of this machine that a lab could leave something in."""
    directories = ("/run", "/run/systemd", "/run/lock", "/var/tmp", "/var/lib", "/var/lib/machines")
    entries = (str(path) for name in directories if Path(name).is_dir() for path in Path(name).iterdir())
    return _ours(_lines("/proc/self/mountinfo")) | _ours(entries)


def new(before: frozenset[str]) -> frozenset[str]:
    """What has come since and stays: what tests beside this one make goes again."""
    found = snapshot() - before

    def goes() -> bool:
        nonlocal found
        found &= snapshot()
        return not found

    wait_until(goes)
    return found


def _ours(names: Iterable[str]) -> frozenset[str]:
    return frozenset(
        name for name in names if name.endswith("/projctl") or any(word in name for word in _OURS)
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text(errors="replace").splitlines()


def processes(*tokens: str) -> list[str]:
    """Every process that has one of the words in its command line or in the name of its cgroup."""
    return [found for entry in Path("/proc").iterdir() if (found := _match(entry, tokens))]


def _match(entry: Path, tokens: tuple[str, ...]) -> str | None:
    if not entry.name.isdigit() or int(entry.name) == os.getpid():
        return None
    with contextlib.suppress(OSError):
        command = (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
        if any(token in command + (entry / "cgroup").read_text() for token in tokens):
            return f"process {entry.name}: {command}"
    return None


def cgroups(token: str) -> list[str]:
    """Every cgroup whose path has the word in it."""
    return [f"cgroup {path}" for top in hierarchies() for path in top.glob(f"*{token}*")]


def hierarchies() -> Iterator[Path]:
    for line in _lines("/proc/self/mountinfo"):
        if " - cgroup2 " in line:
            yield Path(line.split()[4])


def left(pid: int, *tokens: str) -> list[str]:
    """What is left of the labs that process `pid` booted; `tokens` are words that only they have."""
    name = f"projctl-lab-{pid}-"
    return processes(name, *tokens) + cgroups(name)


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
