"""Names of units: which belong to a project, and how D-Bus writes them."""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBER = r"(@[0-9]{1,9})?"
_SERVICE = re.compile(rf"projctl-([a-z][a-z0-9-]{{0,62}})(\.backend)?{_NUMBER}\.service", re.ASCII)
_SOCKET = re.compile(
    rf"projctl-([a-z][a-z0-9-]{{0,62}})(\.[a-z][a-z0-9-]{{0,30}})?{_NUMBER}\.socket", re.ASCII
)
_WARM = re.compile(rf"projctl-([a-z][a-z0-9-]{{0,62}})\.warm{_NUMBER}\.(target|timer)", re.ASCII)
#: Ours, not a project's.
RESERVED = frozenset({"agent", "agent-helper", "agent-metrics", "agent-pause"})
_PAUSE = "projctl-agent-pause@"
UNIT_PATHS = "/org/freedesktop/systemd1/unit"
#: How the object path of every unit of ours begins.
PATH_PREFIX = f"{UNIT_PATHS}/projctl_2d"


@lru_cache(maxsize=1 << 14)
def instance_of_service(unit: str) -> tuple[str, bool] | None:
    """The instance a service is of, and whether it is the backend behind a proxy; None for other units.

    An instance is called like its project, or `NAME@K` where the project has several.
    """
    match = _SERVICE.fullmatch(unit)
    if not match or match[1] in RESERVED:
        return None
    return match[1] + (match[3] or ""), match[2] is not None


def backend_of(service: str) -> str:
    """The unit of the server behind this one, should it be a proxy."""
    name, at, number = service.removesuffix(".service").partition("@")
    return f"{name}.backend{at}{number}.service"


def instance_of_socket(unit: str) -> str | None:
    """The instance that a socket belongs to; None for other units."""
    match = _SOCKET.fullmatch(unit)
    return match[1] + (match[3] or "") if match and match[1] not in RESERVED else None


def warm_target(instance: str) -> str:
    """The target that is active in the hours in which the instance is kept warm."""
    return _part(instance, "warm", "target")


def timers(instance: str) -> tuple[str, str]:
    """What begins the hours in which the instance is kept warm, and what ends them."""
    return _part(instance, "warm", "timer"), _part(instance, "cool", "timer")


def _part(instance: str, part: str, kind: str) -> str:
    project, at, number = instance.partition("@")
    return f"projctl-{project}.{part}{at}{number}.{kind}"


def instance_of_warmth(unit: str) -> tuple[str, str] | None:
    """The instance that such a target or timer is of, and which of both it is; None for other units."""
    match = _WARM.fullmatch(unit)
    return (match[1] + (match[2] or ""), match[3]) if match and match[1] not in RESERVED else None


def pause_unit(service: str) -> str:
    """The unit that holds up the starts of a service while it is starting itself."""
    return f"{_PAUSE}{service.removeprefix('projctl-')}"


def paused_by(unit: str) -> str | None:
    """The service of a project whose pause the unit is; None for other units."""
    service = f"projctl-{unit.removeprefix(_PAUSE)}"
    return service if unit.startswith(_PAUSE) and instance_of_service(service) else None


def project_and_number(instance: str) -> tuple[str, str | None]:
    """The project of an instance, and its number where there are several."""
    project, _, number = instance.partition("@")
    return project, number or None


def is_of(instance: str, name: str) -> bool:
    """Whether a name of a project, or of an instance, means this instance."""
    return name in (instance, project_and_number(instance)[0])


@lru_cache(maxsize=4096)
def object_path(unit: str) -> str:
    """The D-Bus object path of a unit, escaped as sd_bus_path_encode(3) does."""
    escaped = (
        c
        if c.isascii() and (c.isalpha() or (c.isdigit() and i))
        else "".join(f"_{b:02x}" for b in c.encode())
        for i, c in enumerate(unit)
    )
    return f"{UNIT_PATHS}/{''.join(escaped)}"


def unit_of_path(path: str) -> str:
    """The unit that an object path names: the reverse of object_path."""
    label = path.rpartition("/")[2]
    return re.sub(r"((?:_[0-9a-f]{2})+)", _unescape, label)


def _unescape(match: re.Match[str]) -> str:
    return bytes.fromhex(match[1].replace("_", "")).decode(errors="replace")
