"""Which processes have a socket open that the service manager listens on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def find(inodes: Collection[int]) -> list[int]:
    """The processes that hold any of these sockets, if the manager above us does too: it, and we, do not count."""
    manager = os.getppid()
    wanted = {f"socket:[{inode}]" for inode in inodes} & set(_open_files(manager))
    if not wanted:
        return []
    pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208 - names alone
    return sorted(
        pid for pid in pids - {manager, os.getpid()} if any(file in wanted for file in _open_files(pid))
    )


def _open_files(pid: int) -> Iterator[str]:
    """What a process has open; nothing of one that has gone, or is not ours to see."""
    directory = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(directory):  # noqa: PTH208
            try:
                yield os.readlink(f"{directory}/{name}")  # noqa: PTH115 - there are very many
            except OSError:
                continue
    except OSError:
        return
