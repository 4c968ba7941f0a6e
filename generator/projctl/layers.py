"""What stands in a manifest, with the place of each key and value; how one layer lies over another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.diagnostics import Mark

Scalar = str | int | float | bool | None
#: Keys and indexes that lead from a node down to a part of it.
Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One value. `size` and `height` count its parts and levels, those behind aliases included."""

    value: Scalar | list[Node] | dict[str, Entry]
    mark: Mark
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value."""

    key: Mark
    node: Node

    @property
    def mark(self) -> Mark:
        """Where the value stands when it begins beside its key, else where the key stands."""
        beside = (self.node.mark.file, self.node.mark.line) == (self.key.file, self.key.line)
        return self.node.mark if beside else self.key


def entries(node: Node | None) -> dict[str, Entry]:
    """The entries of a mapping; none for anything else."""
    return node.value if node and isinstance(node.value, dict) else {}


def child(node: Node | None, key: str) -> Node | None:
    """The value under `key`, if there is one."""
    entry = entries(node).get(key)
    return entry.node if entry else None


def plain(node: Node) -> object:
    """The value without its places."""
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def place(node: Node, steps: Steps, fallback: Mark, *, on_key: bool = False) -> Mark:
    """The place of the part that `steps` lead to, or of the nearest one around it."""
    mark = fallback
    for step in steps:
        if isinstance(node.value, dict) and isinstance(step, str) and step in node.value:
            entry = node.value[step]
            mark, node = (entry.key if on_key else entry.mark), entry.node
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            mark = node.mark
        else:
            break
    return mark


def places(node: Node, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mark]]:
    """Every key in the mappings of `node`, as its path below `above`, and its place."""
    for key, entry in entries(node).items():
        path = (*above, key)
        yield path, entry.mark
        yield from places(entry.node, path)


def merge(lower: Node, upper: Node) -> Node:
    """`upper` over `lower`: mappings key by key, anything else is replaced."""
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    return Node(lower.value | {k: _over(lower.value.get(k), e) for k, e in upper.value.items()}, upper.mark)


def _over(lower: Entry | None, upper: Entry) -> Entry:
    return Entry(upper.key, merge(lower.node, upper.node)) if lower else upper


def merge_settings(lower: Node, upper: Node) -> Node:
    """As merge, for two projects or a project over its defaults: `idle: 1h` adds to `idle: {…}`."""
    if isinstance(child(lower, "idle"), Node) and isinstance(child(upper, "idle"), Node):
        lower, upper = _long_idle(lower), _long_idle(upper)
    return merge(lower, upper)


def _long_idle(node: Node) -> Node:
    entry = entries(node)["idle"]
    if isinstance(entry.node.value, dict | list) or entry.node.value is None:
        return node
    long = Node({"stop": entry}, entry.node.mark)
    return Node(entries(node) | {"idle": Entry(entry.key, long)}, node.mark)


def merge_manifests(lower: Node, upper: Node) -> Node:
    """A whole manifest over another: defaults and each project as settings, later keys win."""
    merged = merge(lower, upper)
    found = dict(entries(merged))
    for key, entry in entries(upper).items():
        below = child(lower, key)
        if below and key == "defaults":
            found[key] = Entry(entry.key, merge_settings(below, entry.node))
        elif below and key == "projects":
            found[key] = Entry(entry.key, _merge_projects(below, entry.node))
    return Node(found, upper.mark)


def _merge_projects(lower: Node, upper: Node) -> Node:
    found = dict(entries(lower))
    for name, entry in entries(upper).items():
        below = found.get(name)
        found[name] = Entry(entry.key, merge_settings(below.node, entry.node)) if below else entry
    return Node(found, upper.mark)
