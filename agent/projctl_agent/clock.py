"""The two clocks of the agent: one that people read and may set, and one that only goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """`wall` is seconds since 1970, `steady` seconds that nobody can set, counted within `boot`."""

    wall: Callable[[], float]
    steady: Callable[[], float]
    boot: str

    @property
    def offset(self) -> float:
        """What makes a steady moment one of the wall clock as it is set now."""
        return self.wall() - self.steady()


def system() -> Clock:
    """The clocks of this machine."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return Clock(time.time, time.monotonic, boot)
