"""Collects the facts of the installed projects, their units, manifests and ports; changes nothing."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl import agentprogram, build, entries, installed, inventory, machine, manifest, systemctl, unitfile
from projctl import status as status_
from projctl.addresses import Policy
from projctl.diagnostics import ProjctlError, one_line, printable
from projctl.doctor import history, starts
from projctl.doctor.facts import Deviation, History, Pool, Ports, Projects, Server
from projctl.names import instance_of, project_of
from projctl.plan import depth
from projctl.report import events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from projctl.doctor.facts import Kind
    from projctl.installed import Installed
    from projctl.model import Fleet
    from projctl.portlist import Kind as Range
    from projctl.scope import Scope
    from projctl.status import ProjectStatus

#: systemd's entry about a unit that ended, not well (systemd.journal-fields(7), the message catalog).
_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"


@dataclass(frozen=True)
class _Wanted:
    """What the manifests ask for: the fleet and its units; or what is wrong with them."""

    fleet: Fleet | None = None
    units: Mapping[str, str] | None = None
    problems: tuple[str, ...] = ()


def projects(files: Sequence[Path], scope: Scope) -> Projects:
    """Everything that is installed, and how it should be."""
    there = installed.read(scope)
    generated = installed.generated(scope)
    wanted = _wanted(files, scope)
    now = time.time()
    histories, blind = _histories(scope, now - history.WINDOW)
    return Projects(
        servers=_servers(scope, {**generated, **there.files}, histories),
        deviations=_deviations(scope, there, wanted, generated),
        problems=wanted.problems,
        blind=blind,
        manifests=len(wanted.fleet.projects) if wanted.fleet else 0,
        ports=_ports(files, scope, wanted.fleet),
        now=now,
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


def _histories(scope: Scope, since: float) -> tuple[dict[str, History], str | None]:
    """What happened to each server since then; or why nobody can tell."""
    try:
        lines = agentprogram.ask(scope, "events", "--json", f"--since=@{since:.6f}")
        return history.read(events.parse(lines), _expired(scope, since)), None
    except ProjctlError as error:
        return {}, one_line(error.problems[0].message)


def _expired(scope: Scope, since: float) -> dict[str, set[str]]:
    """The invocations of each server that systemd ended because some time was over."""
    writers = entries.Writers.of(scope)
    matches = [*writers.manager, f"MESSAGE_ID={_FAILED}", "UNIT_RESULT=timeout"]
    found: dict[str, set[str]] = {}
    for line in systemctl.journal_lines([f"--since=@{since:.6f}", "--output=json", *matches]):
        entry = json.loads(line)
        invocation = entry.get("USER_INVOCATION_ID" if scope.user else "INVOCATION_ID")
        if server := instance_of(str(entry.get(writers.about))):
            found.setdefault(server, set()).add(str(invocation))
    return found


def _servers(scope: Scope, texts: Mapping[str, str], histories: Mapping[str, History]) -> tuple[Server, ...]:
    statuses = status_.collect(scope)
    shown = systemctl.show(scope, [status.unit for status in statuses], starts.PROPERTIES, precise=True)
    times = {unit["Id"]: unit for unit in shown if "Id" in unit}
    return tuple(
        _server(
            status,
            texts.get(status.unit, ""),
            times.get(status.unit, {}),
            histories.get(status.name, History()),
        )
        for status in statuses
    )


def _server(status: ProjectStatus, text: str, times: Mapping[str, str], lately: History) -> Server:
    sections = unitfile.parse(text)
    start_limit, stop_limit = (
        _seconds(unitfile.values(sections, "Service", key)) for key in ("TimeoutStartSec", "TimeoutStopSec")
    )
    return Server(status, starts.read(times, start_limit), lately, stop_limit)


def _seconds(values: Sequence[str]) -> float | None:
    """A time as we write it into units; None for `infinity`, or what is no plain number."""
    try:
        return float(values[-1]) if values and values[-1] != "infinity" else None
    except ValueError:
        return None


def _deviations(
    scope: Scope, there: Installed, wanted: _Wanted, generated: Mapping[str, str]
) -> tuple[Deviation, ...]:
    stale = {unit for unit, state in installed.states(scope, there).items() if state.needs_reload}
    found: dict[str, Kind] = {unit: "stale" for unit in stale if unit in there.files}
    if wanted.units is not None:
        projects_there = {project_of(unit) for unit in there.files}
        applied = (scope.state / installed.STAMP).exists()
        for unit in (wanted.units.keys() | there.files.keys()) - (generated.keys() - there.files.keys()):
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
