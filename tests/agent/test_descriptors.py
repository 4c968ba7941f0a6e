"""What a process has open, as the helper sees it without the right to read every file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from projctl_agent.helper import descriptors
from projctl_agent.helper.duplicates import Duplicates
from projctl_agent.helper.processes import Process
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Opens something of each kind, tells the numbers by kind and waits; the epoll tells of more than a page of sockets.
CHILD = """
import json, os, select, socket, sys
pairs = [end for _ in range(100) for end in socket.socketpair()]
others = [socket.socket(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), pairs[0].dup()]
epoll = select.epoll()
for end in pairs:
    epoll.register(end)
os.mkfifo(sys.argv[1])
rest = [2, epoll.fileno(), os.open(sys.argv[1], os.O_RDWR), os.open("/dev/zero", os.O_RDONLY), os.memfd_create("x")]
sockets = [one.fileno() for one in pairs + others]
print(json.dumps({"sockets": sockets, "pipes": [0, 1, *os.pipe()], "rest": rest}), flush=True)
sys.stdin.read()
"""
FIND = """
import sys
from projctl_agent.helper import holders
print(holders.find([int(word) for word in sys.argv[1:]]))
"""


@contextmanager
def child(code: str, *words: str, **options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A Python program that ends with its input, and the first line it says."""
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **options,
    ) as process:  # type: ignore[call-overload]
        yield process, process.stdout.readline()


def by_kind(pid: int) -> dict[str, set[int]]:
    """The numbers that a process has open."""
    kinds = {descriptors.mount_of_sockets(): "sockets", descriptors.mount_of_pipes(): "pipes"}
    found: dict[str, set[int]] = {"sockets": set(), "pipes": set(), "rest": set()}
    for number, file in descriptors.opened(pid):
        found[kinds.get(file.mount, "rest")].add(number)
    return found


def test_it_sees_every_descriptor_and_what_it_is(tmp_path: Path) -> None:
    with child(CHILD, str(tmp_path / "fifo")) as (process, line):
        expected = {kind: set(numbers) for kind, numbers in json.loads(line).items()}
        assert by_kind(process.pid) == expected
        files = dict(descriptors.opened(process.pid))
        for number, file in files.items():
            assert file.inode == os.stat(f"/proc/{process.pid}/fd/{number}").st_ino  # noqa: PTH116
        # One socket is there twice, and one pipe by both its ends.
        distinct = len(expected["sockets"]) + len(expected["pipes"]) - 2
        watched = Process(process.pid, os.pidfd_open(process.pid))
        taken = Duplicates([watched])
        assert len(taken._holders) == distinct
        taken.close()
        watched.close()


def test_what_is_closed_meanwhile_is_left_out() -> None:
    reading, writing = os.pipe()
    found = descriptors.opened(os.getpid())
    next(found)
    os.close(writing)
    numbers = {number for number, _ in found}
    os.close(reading)
    assert reading in numbers and writing not in numbers


def test_a_process_that_has_gone_has_nothing_open() -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    assert list(descriptors.opened(gone.pid)) == []
    process = Process(gone.pid, -1)
    Duplicates([process]).close()


def test_what_is_not_ours_to_see_is_refused() -> None:
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            list(descriptors.opened(1))
        with pytest.raises(RefusedError, match="does not show its descriptors to projctl-agent"):
            Duplicates([Process(1, -1)])
    finally:
        if root:
            os.seteuid(0)


def test_a_kernel_that_tells_no_inodes_freezes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one says no more than this of a file, and of an inotify besides what that one watches."""
    old = tmp_path / "fdinfo"
    old.write_text("pos:\t0\nflags:\t02\nmnt_id:\t10\ninotify wd:1 ino:9e7e sdev:800013 mask:800afce\n")
    assert descriptors._file(str(old)) is None
    monkeypatch.setattr(descriptors, "mount_of_sockets", lambda: None)
    with pytest.raises(RefusedError, match=r"which sockets it has open \(before Linux 5\.14\)"):
        Duplicates([])


def test_holders_are_others_than_the_manager_that_has_the_socket_too() -> None:
    with socket.socket() as listener, socket.socket() as other:
        inodes = [str(os.fstat(one.fileno()).st_ino) for one in (listener, other)]
        hold = "import sys; print(flush=True); sys.stdin.read()"
        with child(hold, pass_fds=[listener.fileno()]) as (holder, _):
            for wanted, expected in ((inodes, [holder.pid]), (inodes[1:], []), (["1"], [])):
                with child(FIND, *wanted) as (_, line):
                    assert json.loads(line) == expected
