"""Whether this host can boot a lab, and what an earlier one may have left on it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from projctl.diagnostics import ProjctlError
from projctl.lab.order import PATH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: What must be there, and the Debian package that brings it.
_NEEDED = (
    (("systemd-nspawn",), "systemd-container"),
    (("nsenter",), "util-linux"),
    (("dbus-daemon", "dbus-broker"), "dbus"),
    (("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd"), "polkitd"),
)


def check(shown: Sequence[Path] = ()) -> None:
    """Raise ProjctlError, one line, when no lab can be booted here or a path to be shown is missing."""
    if os.geteuid() != 0:
        raise ProjctlError("cannot boot the lab: must be root")
    missing = [package for programs, package in _NEEDED if not any(map(_found, programs))]
    if missing:
        raise ProjctlError(f"cannot boot the lab: must have the packages {' '.join(missing)} installed")
    for path in shown:
        if not path.exists():
            raise ProjctlError(f"cannot show {path} in the lab: no such file or directory")


def _found(program: str) -> bool:
    return shutil.which(program, path=PATH) is not None
