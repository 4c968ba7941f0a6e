"""A total over many runs, of each of which only a growing figure is seen now and then."""

from __future__ import annotations

from dataclasses import dataclass, field

#: So many runs are remembered, to tell late news of them from new ones.
_REMEMBERED = 4


@dataclass(slots=True)
class Meter:
    """Never falls, and counts nothing twice, in whatever order and however often figures of the same run come."""

    total: float = 0.0
    seen: dict[str, float] = field(default_factory=dict)

    def observe(self, run: str, figure: float) -> None:
        """The run's own figure is this by now; a lower one than before is old news."""
        before = self.seen.pop(run, 0.0)
        self.seen[run] = max(before, figure)
        self.total += max(0.0, figure - before)
        while len(self.seen) > _REMEMBERED:
            del self.seen[next(iter(self.seen))]

    def read(self, boot: str, count: float) -> None:
        """A counter of the kernel shows this by now; a lower one than before began anew."""
        if count < self.seen.get(boot, 0.0):
            del self.seen[boot]
        self.observe(boot, count)
