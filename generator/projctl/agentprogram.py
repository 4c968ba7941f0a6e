"""Runs the agent's program as the caller, for what it reads from the journal: it needs no agent that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import agentunits, systemctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.scope import Scope


def command(scope: Scope, verb: str, *words: str) -> list[str]:
    """What to run. Raises ProjctlError where the program or its libraries are missing."""
    return [str(agentunits.executable()), verb, *(["--user"] if scope.user else []), *words]


def ask(scope: Scope, verb: str, *words: str) -> Iterator[str]:
    """The lines that it prints, as they come; what it complains about is raised as ProjctlError."""
    return systemctl.output(command(scope, verb, *words))
