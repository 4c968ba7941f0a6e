"""What the watches of one agent share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl_agent.lag import Lag
from projctl_agent.meetings import Meetings
from projctl_agent.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Shared:
    """One table of the kernel's, the moments at which they look, how late they come.

    `looked` is told of each look, `company` tells how many are looked at with one of that idle time, in seconds.
    """

    table: Table = field(default_factory=Table)
    meetings: Meetings = field(default_factory=Meetings)
    lag: Lag = field(default_factory=Lag)
    looked: Callable[[], None] = lambda: None
    company: Callable[[float | None], int] = lambda _: 1
