"""Gives way to journalctl: by itself, since whoever reads a log waits for nothing else."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from projctl.diagnostics import ProjctlError

if TYPE_CHECKING:
    from collections.abc import Sequence


def become(arguments: Sequence[str]) -> NoReturn:
    """Let journalctl take the place of this process: nothing of ours stands between it and who reads it."""
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would journalctl
    try:
        os.execvp("journalctl", ["journalctl", *arguments])  # noqa: S606
    except FileNotFoundError:
        raise ProjctlError("cannot find journalctl: is systemd installed?") from None
