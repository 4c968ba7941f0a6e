"""Duplicates of what stopped processes read from, in one epoll: it tells when one of them asks for its server."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import stat
from typing import TYPE_CHECKING

from projctl_agent.helper import descriptors
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projctl_agent.helper.descriptors import File
    from projctl_agent.helper.processes import Process

#: The most sockets and pipes that are watched for one project.
MOST = 4096
_PIDFD_GETFD = 438
_DEAD = select.POLLHUP | select.POLLERR | select.POLLNVAL
_libc = ctypes.CDLL(None, use_errno=True)


class Duplicates:
    """Watches every socket and pipe that stopped processes have open; a server stays deaf to none of them.

    Raises RefusedError where the kernel hands none out, or there are too many.
    """

    def __init__(self, processes: Iterable[Process]) -> None:
        self.epoll = select.epoll()
        self._holders: dict[int, set[int]] = {}
        self._listening: set[int] = set()
        try:
            self._take(processes)
        except BaseException:
            self.close()
            raise

    def _take(self, processes: Iterable[Process]) -> None:
        """A duplicate of each socket and pipe that any of the processes has open, one for those they share."""
        mounts = {descriptors.mount_of_sockets(), descriptors.mount_of_pipes()}
        if None in mounts:
            raise RefusedError("the kernel does not show which sockets it has open (before Linux 5.14)")
        known: dict[File, int] = {}
        for process in processes:
            for number, file in _opened(process.pid):
                if file.mount not in mounts:
                    continue
                if file not in known:
                    known[file] = self._add(duplicate(process, number))
                self._holders[known[file]].add(process.pid)

    def _add(self, descriptor: int) -> int:
        self._holders[descriptor] = set()
        if len(self._holders) > MOST:
            raise RefusedError(f"it has more than {MOST} sockets and pipes open")
        if _listens(descriptor):
            self._listening.add(descriptor)
        self._watch(descriptor)
        return descriptor

    def _watch(self, descriptor: int) -> None:
        """New bytes, connections and ends; room to send only where there is none now and the server waits for it."""
        probe = select.poll()
        probe.register(descriptor, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
        now = dict(probe.poll(0)).get(descriptor, 0)
        if now & _DEAD or (now & select.POLLRDHUP and _is_at_end(descriptor)):
            return  # it says so for ever, and nothing more comes
        if now & select.POLLIN and _is_pipe(descriptor):
            return  # libuv keeps a byte in a pipe of its own for a lock
        room = 0 if now & select.POLLOUT else select.EPOLLOUT
        self.epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP | room)

    def call(self) -> str | None:
        """What calls for the server now: a `connection`, or `bytes` on one; None for nothing."""
        ready = self.ready()
        return self.what(ready) if ready else None

    def what(self, ready: Iterable[int]) -> str:
        """A `connection`, or `bytes` on one."""
        return "bytes" if self._listening.isdisjoint(ready) else "connection"

    def holders(self, ready: Iterable[int]) -> set[int]:
        """The processes that have any of these open."""
        return {pid for descriptor in ready for pid in self._holders[descriptor]}

    def ready(self) -> list[int]:
        """The descriptors that call for it now."""
        return [descriptor for descriptor, _ in self.epoll.poll(0)]

    def close(self) -> None:
        """Close them all: a socket closes only when its last duplicate does."""
        self.epoll.close()
        for descriptor in self._holders:
            os.close(descriptor)
        self._holders.clear()


def _is_pipe(descriptor: int) -> bool:
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def _is_at_end(descriptor: int) -> bool:
    """Whether all was read that ever came: the log's stream is such, and what a client has half closed."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return not found.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False


def _listens(descriptor: int) -> bool:
    if _is_pipe(descriptor):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as found:
        return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _opened(pid: int) -> Iterator[tuple[int, File]]:
    try:
        yield from descriptors.opened(pid)
    except PermissionError:
        raise RefusedError("the kernel does not show its descriptors to projctl-agent") from None


def duplicate(process: Process, number: int) -> int:
    """pidfd_getfd(2): our own descriptor for what another process has open under that number.

    Raises RefusedError where the kernel hands it out to nobody like us.
    """
    found: int = _libc.syscall(_PIDFD_GETFD, process.descriptor, number, 0)
    if found >= 0:
        return found
    code = ctypes.get_errno()
    if code == errno.EPERM:
        raise RefusedError("the kernel hands out no duplicates of its sockets (kernel.yama.ptrace_scope?)")
    raise RefusedError(f"no duplicate of its sockets: {os.strerror(code).lower()}")
