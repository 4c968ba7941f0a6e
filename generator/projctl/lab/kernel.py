"""The system calls a lab needs that Python's library lacks: unshare, mount, setns, prctl."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
MS_RDONLY = 1
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Give the calling process namespaces of its own, see unshare(2); raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into a namespace, see setns(2); raises OSError."""
    _check(_libc.setns(descriptor, kind), "setns")


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount, see mount(2); raises OSError."""
    texts = [os.fsencode(text) for text in (source, target, kind)]
    number = ctypes.c_ulong(flags)
    _check(_libc.mount(*texts, number, os.fsencode(options)), f"mount {target}")


def unmount(target: Path) -> None:
    """Take a mount and all below it out of this mount namespace, see umount2(2); raises OSError."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def die_with_parent(signal: int) -> None:
    """Let the kernel send this process `signal` when its parent ends, see PR_SET_PDEATHSIG of prctl(2)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own has ended, see PR_SET_CHILD_SUBREAPER of prctl(2)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def pid_namespace() -> int:
    """What tells this namespace of processes from others, see pid_namespaces(7)."""
    return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - nothing else here makes a path
