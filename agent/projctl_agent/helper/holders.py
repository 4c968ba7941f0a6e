"""Which processes have a socket open that the service manager listens on."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from projctl_agent.helper import descriptors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from projctl_agent.helper.descriptors import File


def find(inodes: Collection[int]) -> list[int]:
    """The processes that hold any of these sockets, if the manager above us does too: it, and we, do not count.

    None on a kernel that does not tell: what cannot be known is no leak. Where the manager is not ours to see, they are
    taken for its: from systemd 254 on a user's has a capability, and the kernel hides it from all who have not.
    """
    manager, mount = os.getppid(), descriptors.mount_of_sockets()
    wanted = {(mount, inode) for inode in inodes}
    with contextlib.suppress(PermissionError):
        wanted &= {file for _, file in descriptors.opened(manager)}
    if not wanted:
        return []
    pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208 - names alone
    return sorted(
        pid for pid in pids - {manager, os.getpid()} if any(file in wanted for file in _open_files(pid))
    )


def _open_files(pid: int) -> Iterator[File]:
    """What a process has open; nothing of one that has gone, or is not ours to see."""
    with contextlib.suppress(OSError):
        for _, file in descriptors.opened(pid):
            yield file
