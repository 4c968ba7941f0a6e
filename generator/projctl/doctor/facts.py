"""What the doctor looks at: facts of the machine, the agent and the projects; pure data, None for not known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from projctl.addresses import Policy

if TYPE_CHECKING:
    from projctl.portlist import Kind as Range
    from projctl.portlist import RangeUse
    from projctl.status import ProjectStatus

#: Of a unit file: changed since the last apply, not as the manifest has it, gone, no longer named, or not read yet.
Kind = Literal["edited", "differs", "missing", "new", "unwanted", "stale"]
#: The agent's privileged helper: not installed, listening, or installed and not listening.
Helper = Literal["absent", "reached", "silent"]


@dataclass(frozen=True)
class Descriptors:
    """Of the manager's process: its limit, how many are open, how many of them listen for all its sockets."""

    limit: int
    open: int
    sockets: int


@dataclass(frozen=True)
class Journal:
    """Whether the journal outlives a reboot, and since when it has entries (seconds since 1970)."""

    persistent: bool
    since: float | None


@dataclass(frozen=True)
class Copy:
    """One installed program of ours; the version is None where nothing beside it tells."""

    path: str
    version: str | None


@dataclass(frozen=True)
class Host:
    """The machine as far as projects need it; `counting`: whether systemd counts the bytes of a socket.

    `freezes`: some project asks to be frozen.
    """

    systemd: int | None
    unified: bool = True
    controllers: frozenset[str] = frozenset()
    freezes: bool = False
    shows_sockets: bool = True
    counting: bool | None = None
    ptrace_scope: int | None = None
    journal: Journal | None = None
    descriptors: Descriptors | None = None
    copies: tuple[Copy, ...] = ()
    user_mode: bool = False
    lingers: bool | None = None


@dataclass(frozen=True)
class Agent:
    """The agent and what it needs. `version` is that of the running one, `rule`: polkit lets it stop projects.

    `journal`: it can read the journal.
    """

    installed: bool
    active: str = "inactive"
    answers: bool = False
    journal: bool = True
    version: str | None = None
    polkit: bool = True
    rule: bool | None = None
    helper: Helper = "absent"


@dataclass(frozen=True)
class Start:
    """The last start that succeeded, seconds by phase, and how long one may take (None: for ever)."""

    preparation: float
    program: float
    readiness: float
    limit: float | None = None

    @property
    def seconds(self) -> float:
        """The whole of it: from the order to start until it counted as running."""
        return self.preparation + self.program + self.readiness


@dataclass(frozen=True)
class History:
    """What happened to one server lately: starts in all, the seconds of slow ones, ends that went wrong."""

    starts: int = 0
    slow: tuple[float, ...] = ()
    crashes: int = 0
    out_of_memory: int = 0
    stop_timeouts: int = 0


@dataclass(frozen=True)
class Server:
    """One server: its status, its last start, what happened to it lately, seconds it has to end."""

    status: ProjectStatus
    start: Start | None = None
    history: History = field(default_factory=History)
    stop_limit: float | None = None


@dataclass(frozen=True)
class Deviation:
    """A unit that is not as it should be."""

    unit: str
    kind: Kind


@dataclass(frozen=True)
class Pool:
    """The ranges that a project takes its ports from, `kind` as in manifests."""

    kind: Range
    ranges: tuple[RangeUse, ...]

    @property
    def text(self) -> str:
        """The ranges as a manifest writes them."""
        return ", ".join(f"{use.first}-{use.last}" for use in self.ranges)


@dataclass(frozen=True)
class Ports:
    """Ports of projects by who has them (`shop`, `shop.admin`), ranges, and what the kernel keeps of them."""

    given: tuple[tuple[str, int], ...] = ()
    pools: tuple[Pool, ...] = ()
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True)
class Projects:
    """All that is installed. `problems` are those of the manifests, `now` is in seconds since 1970.

    `blind` says why nobody knows what happened lately.
    """

    servers: tuple[Server, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    problems: tuple[str, ...] = ()
    blind: str | None = None
    manifests: int = 0
    ports: Ports = field(default_factory=Ports)
    now: float = 0.0
