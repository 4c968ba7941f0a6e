"""Nodes of manifests → the fleet: defaults handed down, names and keys checked, each project built."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING

from pydantic import ValidationError

from projctl.diagnostics import Mark, Problem
from projctl.layers import Entry, Node, Steps, child, entries, merge_settings, place, places, plain
from projctl.model import Fleet, Project, Settings
from projctl.names import NAME_PATTERN, RESERVED_NAMES
from projctl.values import kind
from projctl.wording import Finding, findings, keys, shorten, unknown_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TOP = ("version", "defaults", "projects")
_PATHS = ("path", "env_file")
_NAME_RULE = 'must be lower-case letters, digits and "-", begin with a letter and have at most 63 characters'


def check_manifest(root: Node) -> Iterator[Problem]:
    """What is wrong with the outermost level of one manifest."""
    if not isinstance(root.value, dict):
        hint = 'begin with "version: 1" and "projects:"'
        yield Problem(f"must be a mapping, not {kind(root.value)}", root.mark, "$", hint)
        return
    for key, entry in root.value.items():
        if key not in _TOP:
            yield _problem(unknown_key((key,), _TOP), root, root.mark, ())
        elif key != "version" and not isinstance(entry.node.value, dict):
            none = f'write "{key}: {{}}" for none' if entry.node.value is None else None
            yield Problem(f"must be a mapping, not {kind(entry.node.value)}", entry.mark, f"$.{key}", none)
    yield from _check_version(root)


def _check_version(root: Node) -> Iterator[Problem]:
    entry = entries(root).get("version")
    if entry is None:
        yield Problem('must have a "version"', root.mark, "$", 'begin with "version: 1"')
    elif entry.node.value != 1 or entry.node.value is True or isinstance(entry.node.value, float):
        yield Problem("must be 1, the only version there is", entry.mark, "$.version")


def assemble(manifests: Sequence[Node], *, whole: bool) -> tuple[Fleet, list[Problem]]:
    """The projects of all manifests; each hands its own `defaults` down.

    Unless `whole`, some layers could not be read, so that keys which seem to be missing are not told.
    """
    assembly = _Assembly(whole=whole)
    for root in manifests:
        assembly.add(root)
    return assembly.fleet(), assembly.problems


class _Assembly:
    def __init__(self, *, whole: bool) -> None:
        self.problems: list[Problem] = []
        self._whole = whole
        self._projects: dict[str, Project] = {}
        self._marks: dict[tuple[str, ...], Mark] = {}
        self._written: dict[str, Entry] = {}

    def fleet(self) -> Fleet:
        """All that is in order; both parts are made here, which saves checking each mark again."""
        return Fleet.model_construct(projects=self._projects, marks=self._marks)

    def add(self, root: Node) -> None:
        """Takes in one manifest."""
        defaults = child(root, "defaults")
        self.problems += _check_defaults(defaults)
        inherited = _inherited(defaults)
        for name, entry in entries(child(root, "projects")).items():
            if refusal := _check_project(name, entry, self._written):
                self.problems.append(refusal)
            else:
                self._written[name] = entry
                self._add_project(name, entry, merge_settings(inherited, entry.node))

    def _add_project(self, name: str, entry: Entry, merged: Node) -> None:
        project, found = _build(name, merged)
        for finding in found:
            if self._whole or not finding.missing:
                own = _mark(finding, entry.node, entry.key) == _mark(finding, merged, entry.key)
                above = ("projects", name) if own else ("defaults",)
                self.problems.append(_problem(finding, merged, entry.key, above))
        if project:
            self._projects[name] = project
            self._marks[(name,)] = entry.key
            self._marks.update(places(merged, (name,)))


def _check_project(name: str, entry: Entry, written: Mapping[str, Entry]) -> Problem | None:
    if not re.fullmatch(NAME_PATTERN, name):
        return Problem(f'cannot call a project "{shorten(name)}"', entry.key, "$.projects", _NAME_RULE)
    if name in RESERVED_NAMES:
        hint = f"projctl itself uses the names: {', '.join(sorted(RESERVED_NAMES))}"
        return Problem(f'cannot call a project "{name}"', entry.key, "$.projects", hint)
    if name in written:
        first = written[name].key.place
        return Problem(f'cannot define the project "{name}" again, first at {first}', entry.key, "$.projects")
    if not isinstance(entry.node.value, dict):
        message = f'must be a mapping with a "path" and a "run", not {kind(entry.node.value)}'
        return Problem(message, entry.mark, dotted(("projects", name)))
    return None


def _check_defaults(defaults: Node | None) -> Iterator[Problem]:
    if defaults is None or not isinstance(defaults.value, dict):
        return
    try:
        Settings.model_validate(plain(defaults))
    except ValidationError as error:
        for finding in findings(error, Settings):
            yield _problem(finding, defaults, defaults.mark, ("defaults",))


def _inherited(defaults: Node | None) -> Node:
    """What projects take over; keys that `defaults` cannot have are refused there, once."""
    known = {key: entry for key, entry in entries(defaults).items() if key in Settings.model_fields}
    return Node(known, defaults.mark if defaults else Mark("", 0, 0))


def _build(name: str, merged: Node) -> tuple[Project | None, list[Finding]]:
    found = list(_refusals(merged))
    try:
        project = Project.model_validate({**_values(merged), "name": name})
    except ValidationError as error:
        return None, [*found, *findings(error, Project)]
    return (None if found else project), found


def _refusals(project: Node) -> Iterator[Finding]:
    """What the model cannot see: it is given a name, and whole paths."""
    if "name" in entries(project):
        yield unknown_key(("name",), keys(Project))
    for key in _PATHS:
        value = getattr(child(project, key), "value", None)
        if isinstance(value, str) and value.startswith("~"):
            yield Finding((key,), 'cannot expand "~"', "write the path in full")


def _values(project: Node) -> dict[str, object]:
    values: dict[str, object] = {key: plain(entry.node) for key, entry in entries(project).items()}
    for key in _PATHS:
        node = child(project, key)
        if node and isinstance(node.value, str) and node.value.strip():
            values[key] = os.path.abspath(os.path.join(os.path.dirname(node.mark.file), node.value))  # noqa: PTH100, PTH118, PTH120 -- lexical
    return values


def _problem(finding: Finding, node: Node, fallback: Mark, above: tuple[str, ...]) -> Problem:
    steps = finding.steps[:-1] if finding.on_key else finding.steps
    return Problem(finding.message, _mark(finding, node, fallback), dotted((*above, *steps)), finding.hint)


def _mark(finding: Finding, node: Node, fallback: Mark) -> Mark:
    return place(node, finding.steps, fallback, on_key=finding.on_key)


def dotted(steps: Steps) -> str:
    """A path such as `$.projects.shop.run[2]`."""
    return "$" + "".join(_step(step) for step in steps)


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[A-Za-z0-9_-]+", step) else f'["{shorten(step)}"]'
