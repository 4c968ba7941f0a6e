"""Whether a unit is projctl's: its file says so, and systemd runs it where projctl's units run."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from projctl_agent.bus import UNIT
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from projctl_agent.bus import Bus

#: How the first line of every file that projctl renders begins.
MARKER = b"# Rendered by projctl "


async def check(bus: Bus, unit: str) -> None:
    """Raise RefusedError where systemd takes this unit from no file of projctl's."""
    (path,) = await bus.properties((unit, UNIT, "FragmentPath"))
    if not path or not _is_marked(path):
        raise RefusedError(f"{unit} has no unit file of projctl")


def _is_marked(path: str) -> bool:
    """Whether this is a plain file of root's, or our own, that bears the marker."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        trusted = stat.S_ISREG(found.st_mode) and found.st_uid in {0, os.geteuid()}
        return trusted and file.read(len(MARKER)) == MARKER
