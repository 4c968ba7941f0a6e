"""What is stopped of one project, and the order in which it goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl_agent.helper import processes, signs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from projctl_agent.helper.duplicates import Duplicates
    from projctl_agent.helper.ours import Server
    from projctl_agent.helper.processes import Process


@dataclass(slots=True)
class Frozen:
    """What is frozen by one order: the servers of a project, a proxy before its backend, and what watches them."""

    tell: Callable[[str, str], None]
    servers: list[Server] = field(default_factory=list)
    held: list[Process] = field(default_factory=list)
    #: Parents of others, and their children.
    leading: dict[Process, set[int]] = field(default_factory=dict)
    signs: list[int] = field(default_factory=list)
    duplicates: Duplicates | None = None

    def part(self) -> None:
        """Tell parents of others from the rest, now: somebody waits when it thaws."""
        families = processes.families(process.pid for process in self.held)
        self.leading = {process: families[process.pid] for process in self.held if process.pid in families}
        self.held = [process for process in self.held if process not in self.leading]
        for process in self.leading:
            self.signs += signs.find(process)

    def wake(self, ready: Collection[int]) -> None:
        """Continue all but the parents whose children have what calls, too: these serve it, and may do so first."""
        serving = self.duplicates.holders(ready) if self.duplicates else set()
        self.go_on([process for process, children in self.leading.items() if not children & serving])

    def go_on(self, leading: Collection[Process] = ()) -> None:
        """Continue all that have no children, and then these."""
        for process in self.held:
            process.go_on()
        signs.renew(self.signs)
        for process in leading:
            process.go_on()

    def let_go(self) -> None:
        """Continue all, and watch it no longer."""
        self.go_on(self.leading)
        for process in (*self.held, *self.leading):
            process.close()
        for descriptor in self.signs:
            os.close(descriptor)
        self.held.clear()
        self.leading.clear()
        self.signs.clear()
        if self.duplicates:
            self.duplicates.close()
            self.duplicates = None
