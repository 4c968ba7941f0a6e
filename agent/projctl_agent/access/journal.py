"""The access logs in the journal: lines of a project's own unit, and the beginnings of its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl_agent.access.tally import Moment
from projctl_agent.opening import open_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl_agent.journal import Scope

_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
#: What the servers write to; anybody can send entries of any size to the journal itself.
_TRANSPORTS = frozenset({b"stdout", b"syslog"})
#: Longer lines are cut where the journal has them compressed.
_LONGEST_LINE = 1 << 16


class Pass:
    """Reads several units with one opening of the journal. Raises OSError where it cannot be read."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._reader = open_journal(scope.flags)
        self._reader.data_threshold = _LONGEST_LINE

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()

    def cursor(self) -> str:
        """The place of the entry that was read last."""
        return str(self._reader._get_cursor())

    def read(self, unit: str, cursor: str) -> Iterator[str | Moment | None]:
        """The unit's lines after `cursor` (empty: from the oldest on), and when runs began; None for all else.

        Raises ValueError at once for what is no cursor.
        """
        self._match(unit)
        if cursor:
            self._reader.seek_cursor(cursor)
        else:
            self._reader.seek_head()
        return self._entries(cursor)

    def newest(self, unit: str, since: float | None, until: float | None, most: int) -> Iterator[str]:
        """The unit's own lines of a window (seconds since 1970), the newest first and so many at the most."""
        reader = self._reader
        reader.flush_matches()
        self._match_own(unit)
        # Looking backwards, an entry of the very microsecond belongs to the window.
        reader.seek_tail() if until is None else reader.seek_realtime(int(until * 1e6) + 1)
        oldest = 0 if since is None else int(since * 1e6)
        while most and reader._previous() and reader._get_realtime() >= oldest:
            most -= 1
            if self._get("_TRANSPORT") in _TRANSPORTS:
                yield self._get("MESSAGE").decode("utf-8", "replace")

    def _entries(self, cursor: str) -> Iterator[str | Moment | None]:
        reader = self._reader
        more = reader._next()
        # Where the entry at the cursor itself is gone, its successor is the first new one.
        if more and cursor and reader.test_cursor(cursor):
            more = reader._next()
        while more:
            yield self._entry()
            more = reader._next()

    def _match(self, unit: str) -> None:
        """Only fields that journald itself sets tell whose a line is."""
        reader, scope = self._reader, self._scope
        reader.flush_matches()
        self._match_own(unit)
        reader.add_disjunction()
        for match in (*scope.manager, f"{scope.unit_field}={unit}", f"MESSAGE_ID={_STARTING}"):
            reader.add_match(match)

    def _match_own(self, unit: str) -> None:
        scope = self._scope
        own = [match for match in scope.manager if match.startswith("_UID=")]
        for match in (*own, f"_SYSTEMD_{scope.unit_field}={unit}"):
            self._reader.add_match(match)

    def _entry(self) -> str | Moment | None:
        # Only what comes by the journal's own socket can have a MESSAGE_ID, as the manager's entries do.
        if self._get("_TRANSPORT") in _TRANSPORTS:
            return self._get("MESSAGE").decode("utf-8", "replace")
        if self._get(f"_SYSTEMD_{self._scope.unit_field}").startswith(b"projctl-"):
            return None
        return self._moment(self._scope.invocation_field)

    def moment(self) -> Moment:
        """When the line that was read last was written, and by which run."""
        return self._moment("_SYSTEMD_INVOCATION_ID")

    def _moment(self, field: str) -> Moment:
        monotonic, boot = self._reader._get_monotonic()
        return Moment(self._get(field).decode("ascii", "replace"), bytes(boot).hex(), monotonic)

    def _get(self, field: str) -> bytes:
        try:
            return bytes(self._reader._get(field))
        except (KeyError, OSError):
            return b""
