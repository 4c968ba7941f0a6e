"""Which manifest each installed project belongs to, which of them a run leaves alone, which it must not take."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from projctl import manifest, unitfile
from projctl.diagnostics import Problem, one_line
from projctl.names import project_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl.installed import Installed
    from projctl.model import Fleet

_ORIGIN = re.compile(re.escape(unitfile.MARKER) + r"\S+ from (/.*):[0-9]+; ")


def place_of(file: str | Path) -> str:
    """A manifest's whole path as units carry it: they outlive the directory we were called in."""
    # By its words alone: a manifest that is a link belongs where the link is.
    return one_line(os.path.abspath(file))  # noqa: PTH100


@dataclass(frozen=True)
class Owners:
    """The manifests of one run, and with `directory` all others that lie, or lay, beside them there."""

    sources: Sequence[Path]
    directory: Path | None = None

    def own(self, file: str) -> bool:
        """Whether what came from this file is this run's to change and to remove."""
        if file in {place_of(source) for source in self.sources}:
            return True
        return self.directory is not None and place_of(Path(file).parent) == place_of(self.directory)

    def kept(self, there: Installed, fleet: Fleet) -> frozenset[str]:
        """Installed projects that this run leaves alone: those of other manifests, or of nobody knows which."""
        others = (name for name, file in origins(there).items() if file is None or not self.own(file))
        return frozenset(others) - fleet.projects.keys()

    def problems(self, there: Installed, fleet: Fleet) -> list[Problem]:
        """A warning for each project of unknown origin, an error for each that another manifest still names."""
        found = []
        for name, file in sorted(origins(there).items()):
            if name not in fleet.projects and file is None:
                message = (
                    f'cannot tell which manifest the installed project "{name}" came from: it stays as it is'
                )
                hint = "name it in a manifest, or remove its units"
                found.append(Problem(message, hint=hint, severity="warning"))
            elif name in fleet.projects and file and (other := self._other(file, name)):
                path = f"$.projects.{name}"
                message = f"cannot take over what is installed from another manifest: {other}"
                found.append(Problem(message, fleet.mark(name), path, "remove it there first"))
        return found

    def _other(self, file: str, name: str) -> str | None:
        """The place in another manifest that still names the project; the file alone when it cannot be read."""
        if self.own(file) or not os.path.exists(file):  # noqa: PTH110 - a file out of reach is none
            return None
        if any(source.exists() and source.samefile(file) for source in self.sources):
            return None
        named = manifest.names(Path(file))
        if named is None:
            return file
        return named[name].place if name in named else None


def origins(there: Installed) -> dict[str, str | None]:
    """The manifest of each installed project, from its services, else from the first line of any unit."""
    found: dict[str, str | None] = {}
    for unit, text in there.files.items():
        if name := project_of(unit):
            line = _ORIGIN.match(text)
            found[name] = found.get(name) or (line[1] if line else None)
    return {**found, **there.manifests()}
