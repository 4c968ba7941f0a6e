"""What has no rendered text yet: reads the manifests, renders new and changed projects, refuses what needs `apply`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from projctl import build, calendars, check, claims, machine, manifest, plan, ports, render
from projctl.diagnostics import Problem, ProjctlError, errors, ordered
from projctl.listen import Listen
from projctl.model import Fleet
from projctl.names import project_of
from projctl.registry import Entry as Given
from projctl.registry import Registry
from projctl.unitgenerator.store import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from projctl.model import Project
    from projctl.scope import Scope
    from projctl.server import Target
    from projctl.unitgenerator.emission import Places
    from projctl.unitgenerator.store import Store

_OF_PROJECT = re.compile(r"\$\.projects\.([a-z][a-z0-9-]*)")


@dataclass(frozen=True)
class Found:
    """One project with the texts of its units; `rendered`: apply has rendered them just so."""

    entry: Entry
    texts: Mapping[str, str]
    rendered: bool


@dataclass
class Fresh:
    """Every project there should be, and what could not be done."""

    projects: dict[str, Found] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def make(files: Sequence[str], scope: Scope, stores: tuple[Store, Store], places: Places) -> Fresh:
    """The projects of these manifests; of the `stores` the first is our own, the second apply's."""
    fleet, problems = manifest.load([Path(file) for file in files], layered=False)
    problems += check.problems(fleet, user_mode=False)
    work = _Work(fleet, scope, stores, places)
    work.problems += problems
    broken = {name for problem in errors(problems) if (name := _project(problem))}
    for name, project in fleet.projects.items():
        if name in broken:
            work.keep(name)
        else:
            work.take(name, project)
    work.keep_unread(files, broken)
    return work.done()


def _project(problem: Problem) -> str | None:
    match = _OF_PROJECT.match(problem.path or "")
    return match[1] if match else None


class _Work:
    def __init__(self, fleet: Fleet, scope: Scope, stores: tuple[Store, Store], places: Places) -> None:
        self._fleet, self._scope, self._stores, self._places = fleet, scope, stores, places
        self._origins = build.origins(fleet)
        self._target: Target | None = None
        self._found = Fresh()
        self.problems = self._found.problems

    def done(self) -> Fresh:
        """The result; its problems in reading order, each once."""
        gone = self._stores[1].projects.keys() - self._found.projects.keys()
        self.problems += [_removed(name, self._stores[1].projects[name].manifest) for name in gone]
        self._found.problems[:] = ordered(self.problems)
        return self._found

    def keep(self, name: str) -> None:
        """Leave the project as it was, where it is not new."""
        for store in self._stores:
            if name in store.projects and (texts := store.texts(name)) is not None:
                self._add(name, store, texts)
                return

    def keep_unread(self, files: Iterable[str], broken: Iterable[str]) -> None:
        """Leave the projects of manifests that cannot be read, and those that are broken in one that can."""
        read = {mark.file for mark in self._fleet.marks.values()}
        unread = {file for file in files if file not in read}
        for store in self._stores:
            for name, entry in store.projects.items():
                if name not in self._found.projects and (entry.manifest in unread or name in broken):
                    self.keep(name)

    def take(self, name: str, project: Project) -> None:
        """The project as its manifest has it, from a store or rendered now."""
        wanted = build.digest(project)
        for store in self._stores:
            entry = store.projects.get(name)
            if entry and entry.input == wanted and (texts := store.texts(name)) is not None:
                self._add(name, store, texts)
                return
        try:
            entry, texts = self._render(name, project, wanted)
        except ProjctlError as error:
            self.problems += error.problems
            self.keep(name)
            return
        if moved := self._moved(name, texts):
            mark = self._fleet.mark(name, "listen")
            message = f"cannot change the sockets of what is loaded: {', '.join(moved)}"
            self.problems.append(Problem(message, mark, f"$.projects.{name}", "run: projctl apply"))
            self.keep(name)
        else:
            self._found.projects[name] = Found(entry, texts, rendered=False)

    def _add(self, name: str, store: Store, texts: Mapping[str, str]) -> None:
        rendered = store is self._stores[1]
        self._found.projects[name] = Found(store.projects[name], texts, rendered)

    def _moved(self, name: str, texts: Mapping[str, str]) -> list[str]:
        """The sockets that would change, come or go, of a project that systemd may have loaded."""
        before = self._before(name)
        sockets = [unit for unit in {*before, *texts} if unit.endswith(".socket")] if before else []
        return sorted(
            unit
            for unit in sockets
            if unit not in before or unit not in texts or plan.depth(before[unit], texts[unit]) == "socket"
        )

    def _before(self, name: str) -> dict[str, str]:
        installed = {
            unit: self._places.installed_text(unit) for unit in self._places.there if project_of(unit) == name
        }
        if installed:
            return {unit: text for unit, text in installed.items() if text is not None}
        kept = (store.texts(name) for store in self._stores if name in store.projects)
        return next((texts for texts in kept if texts), {})

    def _render(self, name: str, project: Project, wanted: str) -> tuple[Entry, dict[str, str]]:
        alone = Fleet.model_construct(projects={name: project}, marks=self._fleet.marks)
        facts, problems = machine.inspect(alone, user_mode=False)
        _raise([*problems, *calendars.problems(alone)])
        addresses = self._addresses(alone, name)
        if self._target is None:
            self._target = build.target(self._scope)
        texts = render.units(alone, addresses, facts, self._target, self._origins)
        units = {unit: text for unit, text in texts.items() if project_of(unit) == name}
        held = {socket: (a.host, a.port) for (_, socket), a in addresses.items() if a.port is not None}
        return Entry(self._origins[name].rpartition(":")[0], wanted, sorted(units), held), units

    def _addresses(self, alone: Fleet, name: str) -> dict[tuple[str, str], ports.Address]:
        """Fixed addresses, and ports that the project has already: none is given at boot."""
        known = self._known()
        wants = ports.wants(alone, claims.private(alone))
        _raise(
            Problem("cannot give a port here", want.mark, want.path, "run: projctl apply")
            for want in wants
            if want.listen.kind == "tcp" and want.listen.auto and want.key not in known
        )
        others = [
            ports.Want(*key, Listen(host=given.host, port=given.port), ())
            for key, given in known.items()
            if key[0] != name
        ]
        addresses, _, problems = ports.assign(
            wants + others, Registry(known), {}, ephemeral=None, now=datetime.now(UTC)
        )
        _raise(problems)
        return {key: address for key, address in addresses.items() if key[0] == name}

    def _known(self) -> dict[tuple[str, str], Given]:
        projects = self._stores[1].projects | self._stores[0].projects
        projects |= {name: found.entry for name, found in self._found.projects.items()}
        return {
            (name, socket): Given(port, host, "1970-01-01T00:00:00Z")
            for name, entry in projects.items()
            for socket, (host, port) in entry.ports.items()
        }


def _removed(name: str, manifest: str) -> Problem:
    message = f'cannot remove the project "{name}", which {manifest} no longer names'
    return Problem(message, hint="run: projctl apply", severity="warning")


def _raise(problems: Iterable[Problem]) -> None:
    if found := errors(problems):
        raise ProjctlError(*found)
