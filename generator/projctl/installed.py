"""What is installed and what systemd holds of it; reads only."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projctl import systemctl, unitfile
from projctl.names import TARGET, instance_of, project_of
from projctl.plan import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from projctl.scope import Scope

STAMP = "applied"
#: The name of the drop-ins below /run that give a server other ports.
DROP_IN = "90-projctl-override.conf"
#: Where systemd keeps what was set at run time, and how it calls what the agent sets of a socket.
_CONTROL, _COUNTING = "system.control", "50-IPAccounting.conf"


@dataclass(frozen=True)
class Installed:
    """Our unit files by name, files that only look like ours, enabled sockets, and files not from an apply.

    `newer` are those written after the last apply that came to its end, `down` the servers whose sockets a person
    closed for a while.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    newer: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()

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
        if path.name.startswith("projctl-agent") or path.suffix not in (
            ".socket",
            ".service",
            ".target",
            ".slice",
            ".timer",
        ):
            continue
        # A link is an administrator's: a masked unit, or one that lies elsewhere.
        regular = path.is_file() and not path.is_symlink()
        text = path.read_text("utf-8", errors="surrogateescape") if regular else ""
        if unitfile.is_ours(text):
            files[path.name] = text
        else:
            foreign.add(path.name)
    links = {path.name for path in wants(scope).glob("projctl-*")}
    if target_link(scope).is_symlink():
        links.add(TARGET)
    return Installed(files, frozenset(foreign), frozenset(links), _newer(scope, files), taken_down(scope))


def _newer(scope: Scope, names: Iterable[str]) -> frozenset[str]:
    try:
        stamp = (scope.state / STAMP).stat().st_mtime_ns
    except OSError:
        return frozenset(names)
    return frozenset(name for name in names if (scope.units / name).stat().st_mtime_ns > stamp)


def generated(scope: Scope) -> dict[str, str]:
    """The units that only the systemd generator has given systemd."""
    found: dict[str, str] = {}
    for path in scope.generator_units.glob("projctl-*"):
        if path.suffix in (".socket", ".service", ".target", ".timer") and (
            text := path.read_text("utf-8", errors="surrogateescape")
        ):
            found[path.name] = text
    return found


def wants(scope: Scope) -> Path:
    """The directory of the links that enable sockets."""
    return scope.units / f"{TARGET}.wants"


def target_link(scope: Scope) -> Path:
    """The link that makes the target start at boot (user mode: at log-in)."""
    boot = "default.target" if scope.user else "multi-user.target"
    return scope.units / f"{boot}.wants" / TARGET


def states(scope: Scope, there: Installed) -> dict[str, State]:
    """What systemd holds of all our units that are loaded.

    Whether it wants a reload is asked only of units written after the last complete apply: asking costs
    milliseconds for each.
    """
    loaded = systemctl.units(scope, "projctl*")
    suspects = [unit for unit in there.newer if unit in loaded]
    shown = systemctl.show(scope, suspects, ("Id", "NeedDaemonReload", "ActiveEnterTimestampMonotonic"))
    stale = {unit["Id"] for unit in shown if unit.get("NeedDaemonReload") == "yes"}
    outdated = {unit["Id"] for unit in shown if unit["Id"].endswith(".service") and _is_outdated(scope, unit)}
    return {unit: State(active, unit in stale, unit in outdated) for unit, (active, _) in loaded.items()}


def _is_outdated(scope: Scope, unit: Mapping[str, str]) -> bool:
    """Whether the service runs since before its file was written: an apply that was killed got no further."""
    entered = int(unit.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    age = time.time() - (scope.units / unit["Id"]).stat().st_mtime
    return 0 < entered < time.clock_gettime(time.CLOCK_MONOTONIC) - age


def marks_of_down(scope: Scope) -> Path:
    """The directory of marks of what `projctl down` closed, one named like each server; gone after a reboot."""
    return scope.runtime / "down"


def taken_down(scope: Scope) -> frozenset[str]:
    """The servers whose sockets stay closed, by order of a person."""
    place = marks_of_down(scope)
    try:
        return frozenset(path.name for path in place.iterdir())
    except FileNotFoundError:
        return frozenset()


def runtime_drop_ins(scope: Scope, unit: str) -> list[Path]:
    """Where the drop-ins of a unit below /run are, if there are any: other ports for a while, counters restored."""
    control = scope.runtime_units.parent / _CONTROL
    return [scope.runtime_units / f"{unit}.d" / DROP_IN, control / f"{unit}.d" / _COUNTING]


def overridden(scope: Scope) -> set[str]:
    """The servers that listen on other ports than their own for a while."""
    found = scope.runtime_units.glob(f"projctl-*.socket.d/{DROP_IN}")
    return {server for path in found if (server := instance_of(path.parent.name.removesuffix(".d")))}
