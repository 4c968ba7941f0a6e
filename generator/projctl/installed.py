"""What is installed and what systemd holds of it; reads only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl import systemctl, unitfile
from projctl.names import TARGET, project_of
from projctl.plan import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from projctl.scope import Scope

_STATE = ("Id", "LoadState", "ActiveState", "NeedDaemonReload")


@dataclass(frozen=True)
class Installed:
    """Our unit files by name, the names of files that only look like ours, and the sockets that are enabled."""

    files: Mapping[str, str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    def manifest_of(self, unit: str) -> str | None:
        """The file (without its line) whose manifest the unit came from."""
        found = unitfile.values(unitfile.parse(self.files.get(unit, "")), "X-Projctl", "Manifest")
        return found[-1].replace("%%", "%").rpartition(":")[0] if found else None

    def manifests(self) -> dict[str, str]:
        """The manifest file of each installed project."""
        pairs = (
            (project_of(unit), self.manifest_of(unit)) for unit in self.files if unit.endswith(".service")
        )
        return {project: manifest for project, manifest in pairs if project and manifest}


def read(scope: Scope) -> Installed:
    """The unit directory as it is; a missing one is empty."""
    files: dict[str, str] = {}
    foreign: set[str] = set()
    for path in sorted(scope.units.glob("projctl*")):
        if path.name.startswith("projctl-agent") or path.suffix not in (".socket", ".service", ".target", ".slice") or not path.is_file():
            continue
        text = path.read_text(errors="surrogateescape")
        if unitfile.is_ours(text):
            files[path.name] = text
        else:
            foreign.add(path.name)
    links = {path.name for path in wants(scope).glob("projctl-*.socket")}
    if target_link(scope).is_symlink():
        links.add(TARGET)
    return Installed(files, frozenset(foreign), frozenset(links))


def wants(scope: Scope) -> Path:
    """The directory of the links that enable sockets."""
    return scope.units / f"{TARGET}.wants"


def target_link(scope: Scope) -> Path:
    """The link that makes the target start at boot (user mode: at log-in)."""
    boot = "default.target" if scope.user else "multi-user.target"
    return scope.units / f"{boot}.wants" / TARGET


def states(scope: Scope) -> dict[str, State]:
    """What systemd holds of all our units that are loaded, in one call."""
    shown = systemctl.show(scope, ["projctl*"], _STATE)
    return {
        unit["Id"]: State(unit.get("ActiveState", ""), unit.get("NeedDaemonReload") == "yes")
        for unit in shown
        if "Id" in unit and unit.get("LoadState") != "not-found"
    }
