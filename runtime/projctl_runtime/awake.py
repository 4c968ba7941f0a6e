"""Holds the project awake while there is work that nobody waits for: a lock that the agent sees."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def hold() -> Iterator[None]:
    """Keep the project from being stopped as idle for as long as the context lasts.

    Contexts may overlap, in one process or several; the kernel ends those of a process with it. Outside of
    projctl it does nothing. Raises OSError where the file cannot be locked.
    """
    path = os.environ.get("PROJCTL_HOLD", "")
    if not path:
        yield
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        # The time of the change tells the agent until when it was held, should it look later. The lock is ended, not
        # only the file closed: a process that was forked meanwhile has the file open as well.
        os.utime(file)
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)
