"""Signs of life: gunicorn's parent ends workers whose last one is old, and would take their frost for silence."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from projctl_agent.helper import descriptors
from projctl_agent.helper.duplicates import duplicate
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projctl_agent.helper.processes import Process

#: How the files are called whose times are the signs, one for each worker, and that no directory has any longer.
_NAME = "wgunicorn-"


def find(process: Process) -> list[int]:
    """Duplicates of what a process, a parent of others, reads their signs of life from; none where that is not told."""
    found = []
    # Whoever closes a duplicate of a file of FUSE or of a network waits for an answer, which may never come.
    local = descriptors.local_mounts(process.pid)
    with contextlib.suppress(OSError, RefusedError):
        for number, file in descriptors.opened(process.pid):
            if file.mount in local:
                descriptor = duplicate(process, number)
                if _is_sign(descriptor):
                    found.append(descriptor)
                else:
                    os.close(descriptor)
    return found


def renew(files: Iterable[int]) -> None:
    """Give a sign of life in the children's stead, as they do: who is silent from now on is ended as ever.

    From 21.0 on it is the time of the last change by the monotonic clock; before, that of the inode's by the real one,
    which the kernel sets.
    """
    now = time.monotonic()
    for descriptor in files:
        with contextlib.suppress(OSError):
            os.utime(descriptor, (now, now))


def _is_sign(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name  # noqa: PTH115 - it names no path
        return name.startswith(_NAME) and not os.fstat(descriptor).st_nlink
    return False
