"""The journal's entries about projects, from a kept cursor on: only those whose writer can be believed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from systemd import journal as sd

from projctl_agent import messages
from projctl_agent.lifecycle import Entry, Kind
from projctl_agent.names import instance_of_service

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGENT = "projctl-agent.service"
#: sd-messages(3), and the ones of systemd-oomd and of ours.
_KINDS_OF_MANAGER = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": Kind.STARTING,
    "39f53479d3a045ac8e11786248231fbf": Kind.STARTED,
    "de5b426a63be47a7b6ac3eaac82e2f6f": Kind.STOPPING,
    "9d1aaa27d60140bd96365438aad20286": Kind.STOPPED,
    "7ad2d189f7e94e70a38c781354912448": Kind.SUCCESS,
    "d9b373ed55a64feb8242e02dbe79a49c": Kind.FAILURE,
    "fe6faa94e7774663a0da52717891d8ef": Kind.OUT_OF_MEMORY,
    "d989611b15e44c9dbf31e3c81256e4ed": Kind.OUT_OF_MEMORY,
}
_KINDS_OF_AGENT = {
    messages.IDLE_STOP: Kind.IDLE_STOP,
    messages.IDLE_STOP_REFUSED: Kind.IDLE_STOP_REFUSED,
    messages.NO_COUNTERS: Kind.NO_COUNTERS,
}
#: No field that is read comes near this many bytes; longer ones, however long, are cut by the reader.
_LONGEST_FIELD = 1024


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose entries are believed, by fields that journald itself sets, and what the manager's are called."""

    manager: tuple[str, ...]
    agent: tuple[str, ...]
    unit_field: str
    invocation_field: str
    flags: int


def system_scope() -> Scope:
    """PID 1 tells of units, projctl-agent.service of decisions."""
    return Scope(
        ("_PID=1",), (f"_SYSTEMD_UNIT={_AGENT}",), "UNIT", "INVOCATION_ID", sd.LOCAL_ONLY | sd.SYSTEM_ONLY
    )


def user_scope() -> Scope:
    """The user's own manager, this one or an earlier one (alone in its init.scope), and the user's agent."""
    own = f"_UID={os.getuid()}"
    return Scope(
        (own, "_SYSTEMD_USER_UNIT=init.scope"),
        (own, f"_SYSTEMD_USER_UNIT={_AGENT}"),
        "USER_UNIT",
        "USER_INVOCATION_ID",
        sd.LOCAL_ONLY,
    )


class Journal:
    """Reads on after a cursor; each pass opens the files anew, so that rotation cannot mislead it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def read(self, cursor: str) -> Iterator[tuple[Entry | None, str]]:
        """Entries after `cursor` (empty: from the oldest on), each with its own cursor.

        None stands for an entry that is about no project. Raises OSError where the journal cannot be read.
        """
        reader = sd.Reader(flags=self._scope.flags)
        try:
            reader.data_threshold = _LONGEST_FIELD
            self._match(reader)
            more = _seek(reader, cursor)
            while more:
                yield self._entry(reader), reader._get_cursor()
                more = reader._next()
        finally:
            reader.close()

    def _match(self, reader: sd.Reader) -> None:
        for match in (*self._scope.manager, *(f"MESSAGE_ID={key}" for key in _KINDS_OF_MANAGER)):
            reader.add_match(match)
        reader.add_disjunction()
        for match in (*self._scope.agent, *(f"MESSAGE_ID={key}" for key in _KINDS_OF_AGENT)):
            reader.add_match(match)

    def _entry(self, reader: sd.Reader) -> Entry | None:
        identity = _get(reader, "MESSAGE_ID")
        kind = _KINDS_OF_AGENT.get(identity)
        fields = ("PROJCTL_UNIT", "PROJCTL_INVOCATION_ID")
        if kind is None:
            kind = _KINDS_OF_MANAGER.get(identity)
            fields = (self._scope.unit_field, self._scope.invocation_field)
        unit = _get(reader, fields[0])
        if kind is None or not instance_of_service(unit):
            return None
        monotonic, boot = reader._get_monotonic()
        source = _get(reader, "_SOURCE_REALTIME_TIMESTAMP")
        realtime = int(source) if source.isdecimal() else reader._get_realtime()
        invocation, result = _get(reader, fields[1]), _get(reader, "UNIT_RESULT")
        return Entry(kind, unit, invocation, bytes(boot).hex(), realtime, monotonic, result)


def _seek(reader: sd.Reader, cursor: str) -> bool:
    """Stand on the first entry after the cursor; False where there is none."""
    if not cursor:
        reader.seek_head()
        return bool(reader._next())
    reader.seek_cursor(cursor)
    if not reader._next():
        return False
    # Where the entry itself is gone, its successor is the first new one.
    return bool(reader._next()) if reader.test_cursor(cursor) else True


def _get(reader: sd.Reader, field: str) -> str:
    try:
        return bytes(reader._get(field)).decode("ascii", "replace")
    except (KeyError, OSError):
        return ""
