"""How many may ask at once: nobody can take the places of others by holding connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PEER = struct.Struct("3i")


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket's connection. Raises OSError."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid: int = _PEER.unpack(credentials)[1]
    return uid


class Places:
    """Places for known users: a few for each, and some that are kept for root and the agent's own user."""

    def __init__(self, each: int = 4, every: int = 64, kept: int = 16) -> None:
        self._each, self._every, self._kept = each, every, kept
        self._trusted = frozenset({0, os.getuid()})
        self._taken: Counter[int] = Counter()

    @contextlib.contextmanager
    def take(self, uid: int) -> Iterator[bool]:
        """A place for as long as the context lasts; False where there is none for this user."""
        free = self._is_free(uid)
        self._taken[uid] += free
        try:
            yield free
        finally:
            self._taken[uid] -= free
            if not self._taken[uid]:
                del self._taken[uid]

    def _is_free(self, uid: int) -> bool:
        if uid in self._trusted:
            return self._taken.total() < self._every
        others = sum(count for who, count in self._taken.items() if who not in self._trusted)
        return self._taken[uid] < self._each and others < self._every - self._kept


class Stage(IntEnum):
    """How far a connection is."""

    SILENT = 0
    ASKED = 1
    ANSWERED = 2


class Queue:
    """Places for connections of unknown users: the oldest that still owes its request makes room for a new one.

    Where none does, it is the oldest that still takes its answer; those that wait for one keep their places.
    """

    ALL = 32

    def __init__(self) -> None:
        self._stages: dict[asyncio.Task[object], Stage] = {}

    @contextlib.contextmanager
    def take(self) -> Iterator[bool]:
        """A place of the current task for as long as the context lasts; False where there is none."""
        task = _current()
        free = len(self._stages) < self.ALL or self._make_room()
        if free:
            self._stages[task] = Stage.SILENT
        try:
            yield free
        finally:
            self._stages.pop(task, None)

    def reached(self, stage: Stage) -> None:
        """Note how far the current task is."""
        if (task := _current()) in self._stages:
            self._stages[task] = stage

    def _make_room(self) -> bool:
        for stage in (Stage.SILENT, Stage.ANSWERED):
            for task, reached in self._stages.items():
                if reached is stage:
                    del self._stages[task]
                    task.cancel()
                    return True
        return False


def _current() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task  # noqa: S101  only called by tasks
    return task
