"""Whether a program of a project holds it awake: a lock on the file that is handed to it, or when it last did."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

#: ordinal, kind, "ADVISORY", READ or WRITE, process, device and inode (proc_locks(5)); waiters have an arrow.
_ROW = re.compile(r"\d+: [A-Z]+ +\S+ +\S+ +-?\d+ ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.ASCII)
_LOCKS = Path("/proc/locks")


class Held(NamedTuple):
    """When somebody last held a file, in monotonic seconds, None for never.

    `changed` is the time of change that the file itself has, None while it is locked: it stays as it is when the
    clock is set.
    """

    at: float | None = None
    changed: float | None = None


def held(file: Path, before: Held) -> Held:
    """When somebody last held the file: now while it is locked, else when it was changed, at the most now.

    A file that has not changed since the look `before` was held when that found. The kernel lists the locks of living
    processes only. The file is not opened: it belongs to the project.
    """
    try:
        found = file.lstat()
    except OSError:
        return Held()
    now = time.monotonic()
    if (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino) in _locked():
        return Held(now)
    if before.changed == found.st_mtime:
        return before
    return Held(min(now, now - time.time() + found.st_mtime), found.st_mtime)


def _locked() -> set[tuple[int, int, int]]:
    """Device and inode of every locked file."""
    try:
        rows = map(_ROW.match, _LOCKS.read_text().splitlines())
    except OSError:
        return set()
    return {(int(row[1], 16), int(row[2], 16), int(row[3])) for row in rows if row}
