"""What a process has open, from /proc/PID/fdinfo: for another user's, CAP_SYS_PTRACE is enough there, unlike in fd."""

from __future__ import annotations

import functools
import os
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The lines by which every file begins (from Linux 5.14 on); an epoll, say, goes on with one for each that it watches.
_WHICH = re.compile(rb"^pos:.*\nflags:.*\nmnt_id:\t(\d+)\nino:\t(\d+)\n")
#: As many bytes as those lines ever have, and some.
_HEAD = 128
#: File systems whose files open and close without anybody else's doing.
_LOCAL = frozenset(
    {b"btrfs", b"ext2", b"ext3", b"ext4", b"f2fs", b"overlay", b"ramfs", b"tmpfs", b"xfs", b"zfs"}
)
_GONE = (FileNotFoundError, ProcessLookupError)


class File(NamedTuple):
    """What one descriptor stands for: the same mount and inode are the same file, whoever has it open."""

    mount: int
    inode: int


def opened(pid: int) -> Iterator[tuple[int, File]]:
    """Each descriptor of a process; none of one that has gone, or on a kernel that does not tell inodes.

    Raises PermissionError where the kernel does not show them to us.
    """
    directory = f"/proc/{pid}/fdinfo"
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names alone
    except _GONE:
        return
    for name in names:
        if file := _file(f"{directory}/{name}"):
            yield int(name), file


def local_mounts(pid: int) -> set[int]:
    """The mounts that a process sees whose files nobody else has to answer for: no FUSE, no network.

    Empty for one that has gone.
    """
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as table:  # noqa: PTH123 - like the others
            rows = table.read().splitlines()
    except OSError:
        return set()
    # The numbers and the place come before a lone "-", and the type after it (proc_pid_mountinfo(5)).
    found = ((row.split(b" ", 1)[0], row.partition(b" - ")[2].split(b" ", 1)[0]) for row in rows)
    return {int(number) for number, kind in found if kind in _LOCAL}


@functools.cache
def mount_of_sockets() -> int | None:
    """The one mount, of the kernel's own, that all sockets are on; None on a kernel that does not tell inodes."""
    with socket.socket(socket.AF_UNIX) as ours:
        return _mount(ours.fileno())


@functools.cache
def mount_of_pipes() -> int | None:
    """The same of all pipes without a name."""
    ends = os.pipe()
    try:
        return _mount(ends[0])
    finally:
        for end in ends:
            os.close(end)


def _mount(descriptor: int) -> int | None:
    file = _file(f"/proc/self/fdinfo/{descriptor}")
    return file.mount if file else None


def _file(path: str) -> File | None:
    """None for a descriptor that is closed by now."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except _GONE:
        return None
    try:
        found = _WHICH.match(os.read(descriptor, _HEAD))
    except _GONE:
        return None
    finally:
        os.close(descriptor)
    return File(int(found[1]), int(found[2])) if found else None
