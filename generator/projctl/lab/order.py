"""What to boot: told by the process that wants a lab to the supervisor that boots it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal, Self

#: Where the supervisor has the cgroup2 tree, whatever the host has there.
CGROUPS = Path("/sys/fs/cgroup")
#: The unit in the lab whose cgroup holds the commands that are run from outside.
COMMANDS_UNIT = "lab-commands.service"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Network = Literal["host", "private"]


@dataclasses.dataclass(frozen=True)
class Order:
    """A lab's name, the parent it dies with, its network, and what of the host it shows.

    `binds` are shared with the host, `overlays` shown with changes kept in memory; both absolute paths.
    `control` and `console` are file descriptors the supervisor inherits.
    """

    name: str
    parent: int
    control: int
    console: int
    network: Network
    binds: list[str]
    overlays: list[str]

    def dump(self) -> str:
        """The order as one word on a command line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        """What `dump` wrote."""
        return cls(**json.loads(text))
