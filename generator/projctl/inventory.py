"""What `projctl ports` looks at: registry, manifests, listeners and the agent's counts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from projctl import agentlink, apply, claims, installed, machine, manifest, portlist, registry
from projctl.addresses import Policy
from projctl.diagnostics import Problem, ProjctlError, raise_errors
from projctl.names import project_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projctl.model import Fleet
    from projctl.portlist import Holding, PortUse, RangeUse
    from projctl.scope import Scope


@dataclass(frozen=True)
class Inventory:
    """The ranges and how full they are, the ports of projects, and what is remembered of those that are gone."""

    ranges: tuple[RangeUse, ...]
    ports: tuple[PortUse, ...]
    released: tuple[PortUse, ...]
    warnings: tuple[Problem, ...] = ()


def collect(files: Sequence[Path], scope: Scope) -> Inventory:
    """All there is to say; the ranges are those of the manifests, or of projects.d, or the defaults."""
    holding, there, warnings = _holding(scope)
    starts = {name: agent.get("starts") for name, agent in agentlink.status(scope).items()}
    ranges = portlist.ranges(_fleet(files, scope))
    return Inventory(
        tuple(portlist.use_of(kind, span, holding) for kind, span in ranges),
        tuple(portlist.uses(holding.registry.entries, there, starts)),
        tuple(portlist.uses(holding.registry.history, there, {})),
        tuple(warnings),
    )


def free(files: Sequence[Path], scope: Scope, count: int) -> list[int]:
    """At most `count` ports that a new project could have now, best first: tried with the kernel, too."""
    holding, _, _ = _holding(scope)
    candidates = portlist.free(holding, _fleet(files, scope))
    return list(islice((port for port in candidates if machine.bindable(None, port)), count))


def release(scope: Scope, project: str) -> list[PortUse]:
    """Forget the ports of a project that is not installed; what was forgotten."""
    with apply.locked(scope):
        there = installed.read(scope)
        if project in _projects(there):
            origin = there.manifests().get(project)
            hint = f"remove it from {origin or 'its manifest'}, run: projctl apply"
            raise ProjctlError(f'cannot forget the ports of "{project}": it is installed', hint=hint)
        known, _ = claims.read_registry(scope, there)
        rows = portlist.uses({**known.history, **known.entries}, (), {})
        forgotten = [row for row in rows if row.project == project]
        if not forgotten:
            raise ProjctlError(f'no port of "{project}" is remembered', hint="projctl ports --json lists all")
        apply.write_registry(scope, registry.dumps(known.without(project)))
    return forgotten


def _fleet(files: Sequence[Path], scope: Scope) -> Fleet | None:
    sources = list(files) or manifest.find(scope.manifests)
    if not sources:
        return None
    fleet, problems = manifest.load(sources, layered=bool(files))
    raise_errors(problems)
    return fleet


def _holding(scope: Scope) -> tuple[Holding, frozenset[str], list[Problem]]:
    """What is not free, the installed projects, and what is wrong with the registry."""
    there = installed.read(scope)
    known, warnings = claims.read_registry(scope, there)
    limit = machine.first_unprivileged_port() if scope.user else 0
    policy = Policy(machine.ephemeral_range(), machine.reserved_ports(), limit)
    return portlist.Holding(known, claims.held_now(scope), policy), _projects(there), warnings


def _projects(there: installed.Installed) -> frozenset[str]:
    return frozenset(project for unit in there.files if (project := project_of(unit)))
