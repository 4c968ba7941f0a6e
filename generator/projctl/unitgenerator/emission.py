"""Writes what the generator has to give into the directories that systemd named, links included."""

from __future__ import annotations

import os

from projctl.names import opener_unit
from projctl.unitgenerator.store import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TARGET = "projctl.target"
#: Units that belong to no project.
STATIC = (TARGET, "projctl.slice")
_BOOT = "multi-user.target"
_DROP_IN = "50-projctl-generator.conf"


class Places:
    """Where units go: `normal` below an administrator's, `early` above them; `installed` is what apply writes to."""

    __slots__ = ("early", "installed", "normal", "there")

    def __init__(self, normal: str, early: str, installed: str) -> None:
        self.normal = normal
        self.early = early
        self.installed = installed
        try:
            self.there = frozenset(os.listdir(installed))  # noqa: PTH208
        except OSError:
            self.there = frozenset()

    def installed_text(self, unit: str) -> str | None:
        """The unit as apply installed it; None where it has not."""
        try:
            return read_text(f"{self.installed}/{unit}") if unit in self.there else None
        except OSError:
            return None


def plan(places: Places, units: Mapping[str, str]) -> dict[str, str]:
    """Path by path what to write: what apply has not installed, and over what it has, what says otherwise."""
    found = {}
    for unit, text in units.items():
        installed = places.installed_text(unit)
        if installed is None:
            found[f"{places.normal}/{unit}"] = text
        elif _material(installed) != _material(text):
            found[f"{places.early}/{unit}"] = text
    opened = _openers(places, found)
    found |= {f"{places.normal}/{unit}": text for unit, text in opened.items()}
    if opened:
        # A link alone opens nothing before the next boot; a target that is up starts what it upholds.
        wishes = "".join(f"Upholds={unit}\n" for unit in sorted(opened))
        found[f"{places.normal}/{TARGET}.d/{_DROP_IN}"] = f"[Unit]\n{wishes}"
    if f"{places.normal}/{TARGET}" in found:
        found[f"{places.normal}/{_BOOT}.d/{_DROP_IN}"] = f"[Unit]\nUpholds={TARGET}\n"
    return found


def _openers(places: Places, files: Mapping[str, str]) -> dict[str, str]:
    """The openers of the projects whose sockets are among these files."""
    sockets: dict[str, list[str]] = {}
    for path, text in files.items():
        unit = path.rpartition("/")[2]
        if _opens(unit, text) and path.startswith(f"{places.normal}/"):
            name = unit.removeprefix("projctl-").replace("@", ".").partition(".")[0]
            sockets.setdefault(name, []).append(unit)
    return {
        opener_unit(
            name
        ): f"[Unit]\nDescription=Opens the sockets of project {name}\nWants={' '.join(units)}\n"
        for name, units in sockets.items()
    }


def _opens(unit: str, text: str) -> bool:
    """Whether it is to be active from the beginning, not only from the next boot on."""
    if unit.endswith(".service"):
        return "\nWarm=always\n" in text and "\n[Install]" in text
    return "\n[Install]" in text and unit.endswith((".socket", ".timer"))


def _material(text: str) -> list[str]:
    """The lines that matter: not where in its manifest the project stands."""
    return [line for line in text.split("\n") if not line.startswith(("#", "Manifest="))]


def links(places: Places, files: Mapping[str, str]) -> dict[str, str]:
    """The links that open the sockets at boot, by path; the value is what they point to."""
    found = {}
    for path, text in files.items():
        unit = path.rpartition("/")[2]
        if "\n[Install]" in text and unit != TARGET and path.startswith(places.normal):
            found[f"{places.normal}/{TARGET}.wants/{unit}"] = path
    if f"{places.normal}/{TARGET}" in files:
        found[f"{places.normal}/{_BOOT}.wants/{TARGET}"] = f"{places.normal}/{TARGET}"
    return found


def write(files: Mapping[str, str], linked: Mapping[str, str]) -> None:
    """Write it all. Raises OSError."""
    made: set[str] = set()
    for path, text in files.items():
        _make_parent(path, made)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            file.write(text)
    for path, target in linked.items():
        _make_parent(path, made)
        os.symlink(target, path)  # noqa: PTH211


def _make_parent(path: str, made: set[str]) -> None:
    parent = path.rpartition("/")[0]
    if parent not in made:
        os.makedirs(parent, exist_ok=True)  # noqa: PTH103
        made.add(parent)


def replace(directory: str, files: Mapping[str, str]) -> None:
    """Make the directory hold exactly these files, the index last. Raises OSError."""
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103
    for name in os.listdir(directory):  # noqa: PTH208
        os.unlink(f"{directory}/{name}")  # noqa: PTH108
    write({f"{directory}/{name}": text for name, text in files.items()}, {})
