"""YAML text → model, every problem with its place; the only importer of yaml."""

from __future__ import annotations

import re
from functools import reduce
from typing import TYPE_CHECKING, cast

import yaml

from projctl import source
from projctl.diagnostics import Mark, Problem, ProjctlError, ordered
from projctl.fleet import assemble, check_manifest
from projctl.layers import Entry, Node, Scalar, merge_manifests
from projctl.schema import schema as schema
from projctl.wording import reword, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from projctl.model import Fleet

#: Values in one manifest, aliased ones counted each time: few lines of aliases can stand for billions.
MAX_VALUES = 1_000_000
MAX_DEPTH = 32
_TOO_DEEP = f"must be nested at most {MAX_DEPTH} levels deep"
_LIBRARY_TOO_DEEP = "exceeded maximum nesting depth"

#: libyaml where PyYAML has it: several times as fast, the same events and places.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,17}\.[0-9]{1,17}")
_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_OWN_TAGS = {
    "tag:yaml.org,2002:str": "scalar",
    "tag:yaml.org,2002:seq": "list",
    "tag:yaml.org,2002:map": "mapping",
}


def find(directory: Path) -> list[Path]:
    """The manifests of a `projects.d`, in the order of their names; no dotfiles, no backups of editors.

    Raises ProjctlError when the directory cannot be read; one that does not exist holds none.
    """
    try:
        found = [path for path in directory.iterdir() if path.suffix in (".yaml", ".yml")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ProjctlError(source.unreadable(directory, error)) from None
    return sorted(path for path in found if not path.name.startswith((".", "#", "~")))


def load(files: Sequence[Path], *, layered: bool) -> tuple[Fleet, list[Problem]]:
    """The projects of all files that are in order, and every problem in any of them, in reading order.

    Layered, later files win key by key, as with several `-f`; otherwise each stands for itself, its
    `defaults` too, and no two may have the same project. Raises nothing for anything a file may hold.
    """
    problems: list[Problem] = []
    manifests: list[Node] = []
    for file in files:
        root, found = _read(file)
        problems += found
        if root is not None:
            problems += check_manifest(root)
            manifests.append(root)
    whole = len(manifests) == len(files)
    if layered and manifests:
        manifests = [reduce(merge_manifests, manifests)]
    fleet, found = assemble(manifests, whole=whole or not layered)
    return fleet, ordered(problems + found)


def names(file: Path) -> dict[str, Mark] | None:
    """The projects that a manifest names and where, whatever else is wrong with it; None when it is no YAML."""
    root, _ = _read(file)
    if root is None:
        return None
    projects = root.value.get("projects") if isinstance(root.value, dict) else None
    named = projects.node.value if projects else None
    return {name: entry.key for name, entry in named.items()} if isinstance(named, dict) else {}


def _read(file: Path) -> tuple[Node | None, list[Problem]]:
    try:
        composer = _Composer(str(file), source.read(file))
        return composer.document(), composer.problems
    except ProjctlError as error:
        return None, list(error.problems)


class _Composer:
    """Builds nodes out of the parser's events, which a loader would turn into values without places."""

    def __init__(self, file: str, text: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._lines = source.LINE_BREAK.split(text)
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=LOADER)
        self._anchors: dict[str, Node | None] = {}
        self._count = 0

    def document(self) -> Node:
        """The root of the only document; raises ProjctlError where nothing can be read."""
        try:
            return self._document()
        except yaml.MarkedYAMLError as error:
            raise ProjctlError(self._syntax_problem(error)) from None
        except yaml.YAMLError as error:
            raise ProjctlError(f"cannot read {self._file} as YAML: {str(error).splitlines()[0]}") from None

    def _document(self) -> Node:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return Node(None, Mark(self._file, 1, 1, self._lines[0]))
        root = self._node(next(self._events), 1)
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._error(
                "cannot hold a second document", following, "write each manifest to a file of its own"
            )
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._bound(event, 1, depth)
        anchor: str | None = getattr(event, "anchor", None)
        if anchor is None:
            return self._fresh(event, depth)
        self._anchors[anchor] = None
        node = self._anchors[anchor] = self._fresh(event, depth)
        return node

    def _fresh(self, event: yaml.Event, depth: int) -> Node:
        mark = self._mark(event)
        if isinstance(event, yaml.ScalarEvent):
            self._check_tag(event, "scalar")
            return Node(_scalar(event), mark)
        before = self._count
        if isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "list")
            items = list(self._items(depth))
            return Node(items, mark, self._count - before + 1, _height(items))
        self._check_tag(event, "mapping")
        pairs = self._pairs(depth)
        return Node(pairs, mark, self._count - before + 1, _height([entry.node for entry in pairs.values()]))

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _pairs(self, depth: int) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, mark = self._key(event, depth)
            entry = Entry(mark, self._node(next(self._events), depth + 1))
            if key in found:
                message = f'repeated key "{shorten(key)}", first at {found[key].key.place}'
                self.problems.append(Problem(message, mark))
            else:
                found[key] = entry
        return found

    def _key(self, event: yaml.Event, depth: int) -> tuple[str, Mark]:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error("must be plain text to be a key", event)
        if event.value == "<<" and not event.style:
            hint = 'put what projects share under "defaults"'
            raise self._error('cannot merge with "<<"', event, hint)
        self._bound(event, 1, depth)
        self._check_tag(event, "scalar")
        mark = self._mark(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = Node(event.value, mark)
        return event.value, mark

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        name = event.anchor or ""
        if name not in self._anchors:
            message = f'unknown alias "*{shorten(name)}"'
            raise self._error(message, event, "an anchor must stand before it")
        node = self._anchors[name]
        if node is None:
            raise self._error(f'cannot use the alias "*{shorten(name)}" inside its own anchor', event)
        self._bound(event, node.size, depth + node.height - 1)
        return node

    def _bound(self, event: yaml.Event, size: int, depth: int) -> None:
        self._count += size
        if self._count > MAX_VALUES:
            raise self._error(f"must have at most {MAX_VALUES} values, aliases counted each time", event)
        if depth > MAX_DEPTH:
            raise self._error(_TOO_DEEP, event)

    def _check_tag(self, event: yaml.Event, kind: str) -> None:
        tag: str | None = getattr(event, "tag", None)
        if tag is not None and tag != "!" and _OWN_TAGS.get(tag) != kind:
            name = shorten(tag.replace("tag:yaml.org,2002:", "!!"))
            self.problems.append(
                Problem(f'cannot use the tag "{name}"', self._mark(event), hint="leave it out")
            )

    def _mark(self, event: yaml.Event) -> Mark:
        start, end = cast("yaml.Mark", event.start_mark), cast("yaml.Mark", event.end_mark)
        return self._place(start.line, start.column, end.column if end.line == start.line else None)

    def _place(self, number: int, column: int, end: int | None) -> Mark:
        """A mark from 0-based numbers. The end of a text without a last newline counts as a further line."""
        if number >= len(self._lines):
            number, column, end = len(self._lines) - 1, len(self._lines[-1]), None
        line = self._lines[number]
        width = max(1, (len(line) if end is None else end) - column)
        return Mark(self._file, number + 1, column + 1, line, width)

    def _error(self, message: str, event: yaml.Event, hint: str | None = None) -> ProjctlError:
        return ProjctlError(Problem(message, self._mark(event), hint=hint))

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        at = error.problem_mark or error.context_mark
        mark = self._place(at.line, at.column, at.column) if at else self._place(0, 0, 0)
        said = error.problem or "it is not complete"
        if mark.source[mark.column - 1 : mark.column] == "\t":
            said = "found character '\\t'"
        # libyaml from 0.2.6 on reads ahead, and has a limit of its own.
        return Problem(_TOO_DEEP if said == _LIBRARY_TOO_DEEP else reword(said), mark)


def _height(parts: list[Node]) -> int:
    return 1 + max((part.height for part in parts), default=0)


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    """Plain text by YAML 1.2's core rules: `on`, `yes`, `1:30`, `010` and dates are text."""
    text: str = event.value
    if event.style or event.tag is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
