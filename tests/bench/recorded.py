"""Journals of any size, made by systemd's own writer out of lines of its export format, and put into a lab."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from projctl.lab import Lab

WRITER = "/lib/systemd/systemd-journal-remote"
BOOT = "b" * 32
#: Microseconds since 1970 of the first entry, and between two.
FIRST, STEP = 1_760_000_000_000_000, 1000


def entry(number: int, **fields: object) -> str:
    """One entry; those of a journal are numbered from 0."""
    head = (
        f"__REALTIME_TIMESTAMP={FIRST + number * STEP}\n__MONOTONIC_TIMESTAMP={1_000_000 + number * STEP}\n"
        f"_BOOT_ID={BOOT}\n"
    )
    return head + "".join(f"{key}={value}\n" for key, value in fields.items()) + "\n"


def write(directory: Path, entries: Iterable[str]) -> list[Path]:
    """Journal files with these entries."""
    file = directory / "system@made.journal"
    command = [WRITER, f"--output={file}", "--split-mode=none", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stderr
        process.stdin.writelines(entries)
        process.stdin.close()
        said = process.stderr.read()
    assert process.returncode == 0, said
    return sorted(directory.glob("*.journal"))


def show(lab: Lab, files: Iterable[Path]) -> None:
    """Put files, which the lab can see at their own paths, into the lab's journal."""
    machine = lab.run(["cat", "/etc/machine-id"]).stdout.strip()
    place = f"/var/log/journal/{machine}"
    lab.run(["mkdir", "-p", place])
    for number, file in enumerate(files):
        name = f"system@{'a' * 32}-{number:016x}-{number:016x}.journal"
        lab.run(["ln", "-s", str(file), f"{place}/{name}"])


def forget(files: Iterable[Path]) -> None:
    """Drop what the kernel keeps of these files in memory."""
    import os

    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
