"""The way from manifests to wanted units, stage by stage, and from there to a plan."""

from __future__ import annotations

import difflib
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from projctl import (
    OLDEST_SYSTEMD,
    calendars,
    check,
    claims,
    installed,
    machine,
    manifest,
    plan,
    registry,
    render,
    systemctl,
)
from projctl.diagnostics import Problem, ProjctlError, ordered, raise_errors
from projctl.names import project_of
from projctl.owners import Owners, place_of
from projctl.server import Target
from projctl.unitgenerator import configuration, store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.model import Fleet, Project
    from projctl.scope import Scope


@dataclass(frozen=True)
class Build:
    """What the manifests ask for: units by name, the registry that gives their ports, and warnings.

    `installed` is what was there before, `kept` the installed projects of other manifests.
    """

    fleet: Fleet
    units: Mapping[str, str]
    registry: str
    warnings: tuple[Problem, ...]
    installed: installed.Installed
    kept: frozenset[str]


def wanted(files: Sequence[Path], scope: Scope, *, systemd_version: int | None = None) -> Build:
    """Every unit that should be there; raises all problems at once."""
    rendered_for = target(scope, systemd_version)
    sources = list(files) or manifest.find(scope.manifests)
    if not sources and not scope.manifests.is_dir():
        raise ProjctlError(
            f"cannot find a manifest: {scope.manifests} does not exist",
            hint="write one there, or name one with -f",
        )
    fleet, problems = manifest.load(sources, layered=bool(files))
    problems += check.problems(fleet, user_mode=scope.user)
    raise_errors(problems)
    there = installed.read(scope)
    facts, more = machine.inspect(fleet, user_mode=scope.user)
    problems += [*more, *calendars.problems(fleet)]
    owners = Owners(sources, None if files else scope.manifests)
    problems += owners.problems(there, fleet)
    kept = owners.kept(there, fleet)
    addresses, recorded, more = claims.assign(fleet, scope, there, kept)
    raise_errors([*problems, *more])
    units = render.units(fleet, addresses, facts, rendered_for, origins(fleet))
    return Build(fleet, units, registry.dumps(recorded), tuple(ordered([*problems, *more])), there, kept)


def origins(fleet: Fleet) -> dict[str, str]:
    """FILE:LINE of each project."""
    marks = ((name, fleet.mark(name)) for name in fleet.projects)
    return {name: f"{place_of(mark.file)}:{mark.line}" for name, mark in marks if mark}


def target(scope: Scope, asked: int | None = None) -> Target:
    """What units are rendered for: the systemd that runs here unless another is asked for.

    Raises ProjctlError where that is too old.
    """
    package = Path(render.__file__).parent
    beside, checkout = package.parent, package.parents[1] / "runtime"
    ready = (
        next(d for d in (beside, checkout) if (d / "projctl_runtime").is_dir()) / "projctl_runtime/ready.py"
    )
    python = Path("/usr/bin/python3")
    return Target(
        systemd=asked or systemctl.supported_version() or OLDEST_SYSTEMD,
        user_mode=scope.user,
        python=str(python if python.exists() else Path(sys.executable).resolve()),
        ready=str(ready),
        overrides=scope.overrides if scope.overrides.is_dir() else None,
    )


def afterwards(found: Build) -> dict[str, str]:
    """All units that should be installed: those asked for, and those of manifests that are not in this run."""
    files = found.installed.files
    kept = {unit: text for unit, text in files.items() if project_of(unit) in found.kept}
    shared = {unit: text for unit, text in files.items() if kept and project_of(unit) is None}
    return {**shared, **kept, **found.units}


def manifest_digests(files: Sequence[Path], scope: Scope) -> dict[str, str]:
    """The digests of the manifests that the systemd generator reads, too; nothing where it is not enabled."""
    if files or scope.user:
        return {}
    try:
        enabled = configuration.is_enabled(str(scope.generator_configuration))
    except ValueError as error:
        raise ProjctlError(str(error)) from None
    return store.digests(store.manifests_in(str(scope.manifests))) if enabled else {}


def digest(project: Project) -> str:
    """The digest of what a project's manifest says, defaults included; places are no part of it."""
    return hashlib.sha256(project.model_dump_json().encode()).hexdigest()


def for_generator(found: Build, manifests: Mapping[str, str]) -> dict[str, str]:
    """What the systemd generator needs to know of this build; `manifests` are the digests of the files it came from."""
    given = registry.loads(found.registry).entries
    held: dict[str, dict[str, tuple[str | None, int]]] = {}
    for (project, socket), entry in given.items():
        held.setdefault(project, {})[socket] = (entry.host, entry.port)
    units: dict[str, list[str]] = {}
    for unit in found.units:
        units.setdefault(project_of(unit) or "", []).append(unit)
    places = {name: origin.rpartition(":")[0] for name, origin in origins(found.fleet).items()}
    projects = {
        name: store.Entry(places[name], digest(project), sorted(units[name]), held.get(name, {}))
        for name, project in found.fleet.projects.items()
    }
    return {**found.units, store.INDEX: store.dumps(manifests, projects)}


def plan_for(found: Build, scope: Scope) -> plan.Plan:
    """What to do about it; raises when a file that is not ours stands in the way."""
    after = afterwards(found)
    if blocked := sorted(after.keys() & found.installed.foreign):
        hint = "move it away, or choose another name for the project"
        raise ProjctlError(
            *(
                Problem(f"cannot replace {scope.units / unit}: projctl did not write it", hint=hint)
                for unit in blocked
            )
        )
    there = found.installed
    generated = {} if scope.user else installed.generated(scope)
    states = installed.states(scope, there)
    return plan.compare(after, there.files, states, there.links, there.down, generated)


def changed(wanted_plan: plan.Plan) -> set[str]:
    """The projects of which the plan writes a unit."""
    return {project for unit in wanted_plan.write if (project := project_of(unit))}


def touched(found: Build, wanted_plan: plan.Plan) -> dict[str, str]:
    """The units that systemd must be asked about before the plan: all of every project of which one changes."""
    projects = changed(wanted_plan)
    return {unit: text for unit, text in found.units.items() if project_of(unit) in projects}


def difference(found: Build) -> list[str]:
    """The installed units against the wanted ones as a unified diff."""
    before, after = found.installed.files, afterwards(found)
    lines: list[str] = []
    for unit in sorted(before.keys() | after.keys()):
        old, new = (texts.get(unit, "").removesuffix("\n").split("\n") for texts in (before, after))
        old, new = ([] if lines == [""] else lines for lines in (old, new))
        names = (f"installed/{unit}" if old else "/dev/null", f"wanted/{unit}" if new else "/dev/null")
        lines += difflib.unified_diff(old, new, *names, lineterm="")
    return lines
