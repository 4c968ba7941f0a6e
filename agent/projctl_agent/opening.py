"""The journal opened as a whole, although journald may rotate it at that moment."""

from __future__ import annotations

import os

from systemd import journal as sd

_PLACES = "/run/log/journal", "/var/log/journal"


def open_journal(flags: int) -> sd.Reader:
    """A reader of all files there are. Raises OSError.

    Files are opened one by one, by names that were read before. One that is renamed meanwhile would be missed, and its
    successor read: what was new in it would never be seen.
    """
    while True:
        names = _names()
        reader = sd.Reader(flags=flags)
        if _names() == names:
            return reader
        reader.close()


def _names() -> frozenset[str]:
    return frozenset(name for place in _PLACES for _, _, names in os.walk(place) for name in names)
