"""Projects that were removed: their figures go with them, so that names that are used once do not pile up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projctl_agent.fleet import Fleet

#: Seconds until those that have unit files, but that systemd has not loaded, are looked for again.
_AGAIN = 3600.0


class Gone:
    """Asks for unit files only when a known project is not loaded, as one that is down or was removed."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._installed: frozenset[str] = frozenset()
        self._asked = 0.0

    async def among(self, missing: frozenset[str]) -> frozenset[str]:
        """Those of these instances that have no unit file any more."""
        now = time.monotonic()
        if not missing or (missing == self._installed and now - self._asked < _AGAIN):
            return frozenset()
        files = await self._fleet.installed()
        if files is None:
            return frozenset()
        self._installed, self._asked = missing & files, now
        return missing - files
