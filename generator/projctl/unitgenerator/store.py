"""Rendered units kept on disk, with a digest of what they were made from; imports no more than a boot can spare."""

from __future__ import annotations

import hashlib
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VERSION = 1
INDEX = "index.json"


class Entry:
    """One project: its manifest, the digest of what it says, its units, and the port of each of its sockets."""

    __slots__ = ("input", "manifest", "ports", "units")

    def __init__(
        self, manifest: str, digest: str, units: Iterable[str], ports: Mapping[str, tuple[str | None, int]]
    ) -> None:
        self.manifest = manifest
        self.input = digest
        self.units = list(units)
        self.ports = dict(ports)


class Store:
    """What a directory holds: the digest of each whole manifest, and the projects by name.

    `kept` are projects of these manifests whose units lie in another store.
    """

    __slots__ = ("directory", "kept", "manifests", "projects")

    def __init__(
        self,
        directory: str,
        manifests: Mapping[str, str] | None = None,
        projects: Mapping[str, Entry] | None = None,
        kept: Iterable[str] = (),
    ) -> None:
        self.directory = directory
        self.kept = list(kept)
        self.manifests = dict(manifests or {})
        self.projects = dict(projects or {})

    def texts(self, project: str) -> dict[str, str] | None:
        """The project's units by name; None when one is gone."""
        try:
            return {unit: read_text(f"{self.directory}/{unit}") for unit in self.projects[project].units}
        except OSError:
            return None


def read(directory: str) -> Store:
    """The store in a directory; an empty one when there is none, or when its index is damaged: all is made anew."""
    try:
        data = json.loads(read_text(f"{directory}/{INDEX}"))
        if data["version"] != VERSION:
            return Store(directory)
        projects = {name: _entry(value) for name, value in data["projects"].items()}
        return Store(directory, data["manifests"], projects, data["kept"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Store(directory)


def _entry(value: dict[str, object]) -> Entry:
    manifest, digest, units, ports = (value[key] for key in ("manifest", "input", "units", "ports"))
    if not (isinstance(manifest, str) and isinstance(digest, str)):
        raise TypeError("a manifest and an input must be texts")
    if not (isinstance(units, list) and isinstance(ports, dict)):
        raise TypeError("units must be a list, ports an object")
    if not all(isinstance(unit, str) and "/" not in unit for unit in units):
        raise ValueError("a unit must be a name")
    return Entry(manifest, digest, units, {key: (host, int(port)) for key, (host, port) in ports.items()})


def dumps(manifests: Mapping[str, str], projects: Mapping[str, Entry], kept: Iterable[str] = ()) -> str:
    """The text of an index, a line for each project."""
    rows = [
        f"{json.dumps(name)}: "
        + json.dumps({"manifest": e.manifest, "input": e.input, "units": e.units, "ports": e.ports})
        for name, e in sorted(projects.items())
    ]
    body = "\n  " + ",\n  ".join(rows) + "\n" if rows else ""
    digests = json.dumps(dict(sorted(manifests.items())))
    names = json.dumps(sorted(kept))
    head = f'"version": {VERSION},\n"manifests": {digests},\n"kept": {names}'
    return f'{{\n{head},\n"projects": {{{body}}}\n}}\n'


def digests(manifests: Iterable[str]) -> dict[str, str]:
    """The digest of each manifest that can be read, by its whole path."""
    found = {}
    for path in manifests:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs milliseconds of every reload
                found[os.path.abspath(path)] = hashlib.sha256(file.read()).hexdigest()  # noqa: PTH100
        except OSError:
            continue
    return found


def manifests_in(directory: str) -> list[str]:
    """The manifests of a `projects.d`, as manifest.find has them; none where there is no such directory."""
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208
    except OSError:
        return []
    return [
        f"{directory}/{name}"
        for name in names
        if name.endswith((".yaml", ".yml")) and not name.startswith((".", "#", "~"))
    ]


def read_text(path: str) -> str:
    """The text of a file. Raises OSError."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        return file.read()
