"""How late the event loop is: what keeps everything else waiting."""

from __future__ import annotations

import time

from projctl_agent.buckets import Histogram

_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Lag:
    """Measured where the agent sleeps anyway, so that it costs no wake-up of its own."""

    def __init__(self) -> None:
        self.seconds = Histogram(_BOUNDS)

    def note(self, due: float) -> None:
        """It was to be awake then, in monotonic seconds, and is now."""
        self.seconds.add(max(0.0, time.monotonic() - due))
