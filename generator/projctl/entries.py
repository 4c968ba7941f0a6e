"""Which entries of the journal are about a project, and can be believed: matches for journalctl."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from projctl import announce
from projctl.names import instance_of, project_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl.scope import Scope

_AGENT = "projctl-agent.service"
#: Every unit of ours that the journal knows, the agent's included: a pattern of journalctl's.
_EVERY = "projctl-*"


def units_of(scope: Scope, name: str) -> list[str]:
    """The installed units of a project (all instances), or of one instance `NAME@N`, by their files' names alone."""
    project = name.partition("@")[0]
    try:
        found = [path.name for path in scope.units.iterdir()]
    except OSError:
        return []
    near = sorted(file for file in found if file.startswith(f"projctl-{project}"))
    return [unit for unit in near if name in (project_of(unit), instance_of(unit))]


def of_all(scope: Scope) -> list[str]:
    """Options of journalctl for what any project wrote, and systemd and the agent about it."""
    return [f"--{'user-unit' if scope.user else 'unit'}={_EVERY}"]


def about(scope: Scope, name: str, units: Sequence[str]) -> list[str]:
    """What journalctl must match: the server's own output, systemd's about its units, the agent's decisions."""
    project, _, number = name.partition("@")
    writers = Writers.of(scope)
    decided = [f"PROJCTL_PROJECT={project}", *([f"PROJCTL_INSTANCE={number}"] if number else [])]
    matches = [*writers.agent, *decided, "+", *writers.orders, *decided]
    if units:
        matches += ["+", *writers.manager, *(f"{writers.about}={unit}" for unit in units)]
        matches += ["+", *writers.same, *(f"{writers.unit}={unit}" for unit in units)]
    return matches


class Writers(NamedTuple):
    """Matches for entries that can be believed: anybody may write entries with any field but those of journald."""

    manager: tuple[str, ...]
    agent: tuple[str, ...]
    orders: tuple[str, ...]
    same: tuple[str, ...]
    unit: str
    about: str

    @classmethod
    def of(cls, scope: Scope) -> Writers:
        if not scope.user:
            orders = ("_UID=0", f"MESSAGE_ID={announce.ORDER}")
            return cls(("_PID=1",), (f"_SYSTEMD_UNIT={_AGENT}",), orders, (), "_SYSTEMD_UNIT", "UNIT")
        own, unit = f"_UID={os.getuid()}", "_SYSTEMD_USER_UNIT"
        # The manager is alone in its init.scope.
        orders = (own, f"MESSAGE_ID={announce.ORDER}")
        return cls((own, f"{unit}=init.scope"), (own, f"{unit}={_AGENT}"), orders, (own,), unit, "USER_UNIT")
