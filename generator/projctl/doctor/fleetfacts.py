"""Collects the facts of the installed projects, their units, manifests and ports; changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl import agentlink, build, installed, inventory, machine, manifest, systemctl, unitfile
from projctl import status as status_
from projctl.addresses import Policy
from projctl.diagnostics import ProjctlError, printable
from projctl.doctor import starts
from projctl.doctor.facts import Deviation, Pool, Ports, Projects, Server
from projctl.names import project_of
from projctl.plan import depth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from projctl.doctor.facts import Kind
    from projctl.installed import Installed
    from projctl.model import Fleet
    from projctl.portlist import Kind as Range
    from projctl.scope import Scope
    from projctl.status import ProjectStatus


@dataclass(frozen=True)
class _Wanted:
    """What the manifests ask for: the fleet and its units; or what is wrong with them."""

    fleet: Fleet | None = None
    units: Mapping[str, str] | None = None
    problems: tuple[str, ...] = ()


def projects(files: Sequence[Path], scope: Scope) -> Projects:
    """Everything that is installed, and how it should be."""
    there = installed.read(scope)
    wanted = _wanted(files, scope)
    return Projects(
        servers=_servers(scope, there),
        deviations=_deviations(scope, there, wanted),
        problems=wanted.problems,
        manifests=len(wanted.fleet.projects) if wanted.fleet else 0,
        ports=_ports(files, scope, wanted.fleet),
        now=time.time(),
    )


def _wanted(files: Sequence[Path], scope: Scope) -> _Wanted:
    if not files and not manifest.find(scope.manifests):
        return _Wanted()
    try:
        found = build.wanted(files, scope)
        return _Wanted(found.fleet, build.afterwards(found))
    except ProjctlError as error:
        problems = [p for p in error.problems if p.severity == "error"]
        return _Wanted(problems=tuple(_line(str(problem)) for problem in problems))


def _line(text: str) -> str:
    return printable(text).partition("\n")[0]


def _servers(scope: Scope, there: Installed) -> tuple[Server, ...]:
    statuses = status_.collect(scope)
    shown = systemctl.show(scope, [status.unit for status in statuses], starts.PROPERTIES, precise=True)
    times = {unit["Id"]: unit for unit in shown if "Id" in unit}
    told = agentlink.status(scope)
    return tuple(
        _server(
            status, there.files.get(status.unit, ""), times.get(status.unit, {}), told.get(status.name, {})
        )
        for status in statuses
    )


def _server(status: ProjectStatus, text: str, times: Mapping[str, str], told: Mapping[str, object]) -> Server:
    sections = unitfile.parse(text)
    start_limit, stop_limit = (
        _seconds(unitfile.values(sections, "Service", key)) for key in ("TimeoutStartSec", "TimeoutStopSec")
    )
    ended = told.get("reason") if status.state in ("asleep", "failed", "down") else None
    return Server(status, starts.read(times, start_limit), str(ended) if ended else None, stop_limit)


def _seconds(values: Sequence[str]) -> float | None:
    """A time as we write it into units; None for `infinity`, or what is no plain number."""
    try:
        return float(values[-1]) if values and values[-1] != "infinity" else None
    except ValueError:
        return None


def _deviations(scope: Scope, there: Installed, wanted: _Wanted) -> tuple[Deviation, ...]:
    stale = {unit for unit, state in installed.states(scope, there).items() if state.needs_reload}
    found: dict[str, Kind] = {unit: "stale" for unit in stale if unit in there.files}
    if wanted.units is not None:
        projects_there = {project_of(unit) for unit in there.files}
        applied = (scope.state / installed.STAMP).exists()
        for unit in wanted.units.keys() | there.files.keys():
            if kind := _kind(unit, there, wanted.units, projects_there, applied=applied):
                found[unit] = kind
    return tuple(Deviation(unit, kind) for unit, kind in sorted(found.items()))


def _kind(
    unit: str, there: Installed, wanted: Mapping[str, str], projects_there: set[str | None], *, applied: bool
) -> Kind | None:
    """How a unit differs from what is wanted; comments alone are no difference."""
    if unit not in there.files:
        return "missing" if project_of(unit) in projects_there else "new"
    if unit not in wanted:
        return "unwanted"
    if depth(there.files[unit], wanted[unit]) == "comment":
        return None
    return "edited" if applied and unit in there.newer else "differs"


def _ports(files: Sequence[Path], scope: Scope, fleet: Fleet | None) -> Ports:
    try:
        found = inventory.collect(files if fleet else (), scope)
    except ProjctlError:
        return Ports()
    given = tuple((use.project, use.port) for use in found.ports if use.installed)
    policy = Policy(machine.ephemeral_range(), machine.reserved_ports())
    spans = {(use.kind, use.first, use.last): use for use in found.ranges}
    wanted: set[tuple[Range, tuple[tuple[int, int], ...]]] = set()
    for project in fleet.projects.values() if fleet else ():
        wanted |= {("ports", tuple(project.ports)), ("backend_ports", tuple(project.backend_ports))}
    pools = (Pool(kind, tuple(spans[kind, first, last] for first, last in ranges)) for kind, ranges in wanted)
    return Ports(given, tuple(sorted(pools, key=lambda pool: (pool.kind, pool.text))), policy)
