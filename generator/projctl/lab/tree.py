"""The file tree a lab boots from: the host's files under an overlay, all changes in memory."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from projctl.lab import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Not taken from the host: systemd-nspawn makes these anew.
_OWN = tuple(Path(path) for path in ("/proc", "/sys", "/dev", "/run"))
_UNSUITABLE = frozenset(
    {"autofs", "proc", "sysfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "mqueue", "nsfs"}
)


class Scratch:
    """Directories on a tmpfs in the private mount namespace of the caller; gone together with it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._numbers = itertools.count()
        kernel.mount("tmpfs", place, "tmpfs", options="mode=0755")

    def directory(self, *names: str) -> Path:
        """A new directory of the given name, or of a number."""
        path = self.place.joinpath("lab", *(names or (str(next(self._numbers)),)))
        path.mkdir(parents=True)
        return path

    def overlay(self, lower: str, target: Path) -> None:
        """Show the directory `lower` at `target`; what is written there stays in memory. Raises OSError."""
        layer = self.directory()
        upper, work = layer / "upper", layer / "work"
        status = Path(lower).stat()
        upper.mkdir()
        work.mkdir()
        upper.chmod(status.st_mode & 0o7777)
        os.chown(upper, status.st_uid, status.st_gid)
        lower = re.sub(r"([\\:,])", r"\\\1", lower)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        kernel.mount("overlay", target, "overlay", options=options)


def mounted_directories() -> Iterator[Path]:
    """Every mount point of this mount namespace, parents first, but `/` and what a lab makes anew."""
    table = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    found = {}
    for line in table:
        fields, _, source = line.partition(" - ")
        path = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields.split()[4]))
        found[path] = source.split()[0]
    for path, kind in sorted(found.items()):
        own = any(path == top or top in path.parents for top in _OWN)
        if path != Path("/") and not own and kind not in _UNSUITABLE:
            yield path


def assemble(scratch: Scratch, mounts: list[Path]) -> Path:
    """Show the host's root and `mounts` below one directory, changes in memory; returns that directory."""
    root = scratch.directory("root")
    scratch.overlay("/", root)
    for path in mounts:
        _add(scratch, path, root / path.relative_to("/"))
    return root


def _add(scratch: Scratch, path: Path, target: Path) -> None:
    if not path.exists() or not target.exists():
        return
    try:
        if path.is_dir():
            scratch.overlay(str(path), target)
            return
    except OSError:
        pass  # not every file system can lie below an overlay; read-only is the next best
    kernel.mount(str(path), target, flags=kernel.MS_BIND)
    kernel.mount("", target, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)


def show(scratch: Scratch, source: str, *, shared: bool) -> Path:
    """A place that shows `source`: itself when `shared`, else a directory with its changes in memory."""
    place = scratch.directory()
    if not Path(source).is_dir():
        place = place / "file"
        place.touch()
    elif not shared:
        scratch.overlay(source, place)
        return place
    kernel.mount(source, place, flags=kernel.MS_BIND | kernel.MS_REC)
    if not shared:
        kernel.mount("", place, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)
    return place
