"""Everything there is to know about one server: its status, units with their drop-ins, last lines, last stop."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from projctl import entries, systemctl, unitfile
from projctl import status as status_
from projctl.diagnostics import ProjctlError
from projctl.names import backend_unit, instance_of, service_unit
from projctl.registry import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.scope import Scope
    from projctl.status import ProjectStatus

#: systemd's entries about a unit that ended: well, and not (systemd.journal-fields(7), the message catalog).
_ENDED = ("7ad2d189f7e94e70a38c781354912448", "d9b373ed55a64feb8242e02dbe79a49c")
_PROPERTIES = ("Id", "ActiveState", "SubState", "FragmentPath", "DropInPaths")
_LIMITS = ("MemoryMax", "CPUQuota", "TasksMax", "RuntimeMaxSec")
_IDLE = {
    "stop": "IdleStopSec",
    "freeze": "IdleFreezeSec",
    "min_uptime": "MinUptimeSec",
    "hold_connections": "HoldConnectionsSec",
}


@dataclass(frozen=True)
class Unit:
    """A unit of the server, where it lies, and what systemd has of it."""

    name: str
    state: str
    path: str | None
    drop_ins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dossier:
    """A server whole. `settings` are from its units, drop-ins included; `lines` are the last of its journal."""

    status: ProjectStatus
    units: tuple[Unit, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    last_stop: str | None = None
    lines: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object that `info --json` prints."""
        units = [
            {"name": unit.name, "state": unit.state, "path": unit.path, "drop_ins": list(unit.drop_ins)}
            for unit in self.units
        ]
        return {
            **self.status.as_json(), "units": units, **self.settings, "last_stop": self.last_stop,
            "log": list(self.lines),
        }  # fmt: skip


def collect(scope: Scope, name: str, units: Sequence[str], lines: int) -> list[Dossier]:
    """The dossiers of a project's servers, or of the one named `NAME@N`; `units` are all of their units."""
    return [_dossier(scope, status, units, lines) for status in status_.collect(scope, [name])]


def _dossier(scope: Scope, status: ProjectStatus, units: Sequence[str], lines: int) -> Dossier:
    own = [unit for unit in units if instance_of(unit) == status.name]
    shown = {unit["Id"]: unit for unit in systemctl.show(scope, own, _PROPERTIES)}
    found = tuple(_unit(name, shown.get(name, {})) for name in own)
    server = next((unit for unit in found if unit.name == status.unit), None)
    settings = describe(_texts(server), user_mode=scope.user) if server else {}
    return Dossier(
        status, found, settings, _last_stop(scope, status.name), tuple(_log(scope, status.name, own, lines))
    )


def _unit(name: str, shown: Mapping[str, str]) -> Unit:
    state = f"{shown.get('ActiveState', 'unknown')} ({shown.get('SubState', 'unknown')})"
    return Unit(name, state, shown.get("FragmentPath") or None, tuple(shown.get("DropInPaths", "").split()))


def _texts(unit: Unit) -> str:
    """The unit's file and after it its drop-ins, as systemd reads them; what cannot be read is left out."""
    texts = []
    for path in (unit.path, *unit.drop_ins):
        try:
            texts.append(Path(path).read_text(errors="surrogateescape") if path else "")
        except OSError:
            continue
    return "\n".join(texts)


def describe(text: str, *, user_mode: bool = False) -> dict[str, Any]:
    """What a server's unit text says of it: where from, as whom, what it may use, when it stops."""
    sections = unitfile.parse(text)

    def last(section: str, key: str) -> str | None:
        return next(iter(unitfile.values(sections, section, key)[::-1]), None)

    def plain(section: str, key: str) -> str | None:
        value = last(section, key)
        return value.replace("%%", "%") if value else None

    user = "dynamic" if last("Service", "DynamicUser") == "yes" else plain("Service", "User")
    idle = {name: _seconds(last("X-Projctl", key)) for name, key in _IDLE.items()}
    idle["busy_cpu"] = _seconds((last("X-Projctl", "BusyCpu") or "").removesuffix("%"))
    return {
        "manifest": plain("X-Projctl", "Manifest"),
        "adapter": last("X-Projctl", "Adapter"),
        "user": user or (None if user_mode else "root"),
        "path": plain("Service", "WorkingDirectory"),
        "limits": {key: value for key in _LIMITS if (value := last("Service", key))},
        "idle": idle,
        "environment": _variables(unitfile.values(sections, "Service", "Environment")),
        "env_files": [v.replace("%%", "%") for v in unitfile.values(sections, "Service", "EnvironmentFile")],
    }


def _seconds(text: str | None) -> float | None:
    """Seconds as the agent reads them; None for `infinity` and for what is no plain number."""
    try:
        return float(text) if text and text != "infinity" else None
    except ValueError:
        return None


def _variables(assignments: Sequence[str]) -> list[str]:
    """The names, sorted; values may be secret."""
    names: set[str] = set()
    for line in assignments:
        try:
            words = shlex.split(line)
        except ValueError:
            words = [line.strip("\"'")]
        names |= {word.partition("=")[0] for word in words if "=" in word}
    return sorted(names)


def _log(scope: Scope, name: str, units: Sequence[str], lines: int) -> list[str]:
    """The last lines, oldest first; none when the journal cannot be read."""
    if not lines:
        return []
    try:
        return systemctl.journal_lines(
            [f"--lines={lines}", "--output=short-iso", *entries.about(scope, name, units)]
        )
    except ProjctlError:
        return []


def _last_stop(scope: Scope, name: str) -> str | None:
    """When and why it was last stopped: the agent's words where it was the agent, else systemd's."""
    writers = entries.Writers.of(scope)
    units = [service_unit(name), backend_unit(name)]
    matches = [*writers.manager, *(f"{writers.about}={unit}" for unit in units)]
    matches += [f"MESSAGE_ID={identity}" for identity in _ENDED]
    matches += ["+", *writers.agent, "PROJCTL_EVENT=idle-stop", *(f"PROJCTL_UNIT={unit}" for unit in units)]
    try:
        # A proxied server ends in two units; the agent's own entry comes before both.
        found = systemctl.journal_lines(["--lines=3", "--output=json", *matches])
    except ProjctlError:
        return None
    return last_stop([json.loads(line) for line in found])


def last_stop(entries: Sequence[Mapping[str, Any]]) -> str | None:
    """Time and words of the last stop, out of entries that tell of ends, oldest first."""
    if not entries:
        return None
    chosen = entries[-1]
    for number, entry in enumerate(entries):
        after = entries[number + 1 :]
        units = [_text(other, "UNIT") or _text(other, "USER_UNIT") for other in after]
        # One stop: what the agent decided, systemd carries out, each unit once.
        ours = _text(entry, "PROJCTL_EVENT") == "idle-stop"
        if ours and len(set(units)) == len(units) and _all_well(after):
            chosen = entry
    moment = datetime.fromtimestamp(int(entries[-1]["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
    return f"{timestamp(moment)} {_text(chosen, 'MESSAGE')}".strip()


def _all_well(entries: Sequence[Mapping[str, Any]]) -> bool:
    return all(_text(entry, "MESSAGE_ID") == _ENDED[0] for entry in entries)


def _text(entry: Mapping[str, Any], field: str) -> str:
    """The value of a field; empty for one that is repeated, no text, or too long to be shown."""
    value = entry.get(field)
    return value if isinstance(value, str) else ""
