"""Whether a program of a project holds it awake: a lock on the file that is handed to it, or when it last did."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

#: ordinal, kind, "ADVISORY", READ or WRITE, process, device and inode (proc_locks(5)); waiters have an arrow.
_ROW = re.compile(r"\d+: [A-Z]+ +\S+ +\S+ +-?\d+ ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.ASCII)
_LOCKS = Path("/proc/locks")


def held(file: Path) -> float | None:
    """When somebody last held the file, in monotonic seconds: now while it is locked, else when it was changed.

    The kernel lists the locks of living processes only. The file is not opened: it belongs to the project.
    """
    try:
        found = file.lstat()
    except OSError:
        return None
    now = time.monotonic()
    if (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino) in _locked():
        return now
    return min(now, now - time.time() + found.st_mtime)


def _locked() -> set[tuple[int, int, int]]:
    """Device and inode of every locked file."""
    try:
        rows = map(_ROW.match, _LOCKS.read_text().splitlines())
    except OSError:
        return set()
    return {(int(row[1], 16), int(row[2], 16), int(row[3])) for row in rows if row}
