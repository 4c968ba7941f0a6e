"""The meters of all projects in one file, which is replaced as a whole."""

from __future__ import annotations

import json
import math
from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any

from projctl_agent.checkpoint import replace_file
from projctl_agent.meters.meter import Meter
from projctl_agent.meters.project import Meters, Sleep
from projctl_agent.names import instance_of_service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VERSION = 1
_METERS = tuple(field.name for field in fields(Meters) if field.default_factory is Meter)


def dump(meters: Mapping[str, Meters], until: int) -> str:
    """The text of these meters, which are by instance, and of how far the journal was fed to them."""
    projects = {name: _data(of) for name, of in meters.items()}
    return json.dumps({"version": _VERSION, "until": until, "projects": projects}, separators=(",", ":"))


def _data(meters: Meters) -> dict[str, Any]:
    kept = {name: [meter.total, meter.seen] for name in _METERS if (meter := getattr(meters, name)).seen}
    sleep = meters.sleep and astuple(meters.sleep)
    return kept | {
        "peak": [meters.peak, meters.peak_of],
        "last": [meters.uptime, meters.uptime_of],
        "sleep": sleep,
    }


def parse(text: str) -> tuple[dict[str, Meters], int]:
    """What dump wrote; raises ValueError for anything else."""
    try:
        data = json.loads(text)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        projects = {_instance(name): _meters(**of) for name, of in data["projects"].items()}
        return projects, _count(data["until"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the meters of an agent: {error!r}") from None


def _instance(name: str) -> str:
    if instance_of_service(f"projctl-{name}.service") != (name, False):
        raise ValueError(f"not a project: {name!r}")
    return name


def _meters(*, peak: list[Any], last: list[Any], sleep: list[Any] | None, **kept: list[Any]) -> Meters:
    if unknown := kept.keys() - set(_METERS):
        raise ValueError(f"unknown meter {min(unknown)!r}")
    found = Meters(**{name: _meter(*of) for name, of in kept.items()})  # type: ignore[arg-type]
    found.peak, found.peak_of = _count(peak[0]), _text(peak[1])
    found.uptime, found.uptime_of = _figure(last[0]), _text(last[1])
    found.sleep = None if sleep is None else _sleep(*sleep)
    return found


def _meter(total: object, seen: dict[str, object]) -> Meter:
    return Meter(_figure(total), {_text(run): _figure(figure) for run, figure in seen.items()})


def _sleep(key: object, boot: object, since: object) -> Sleep:
    return Sleep(_text(key), _text(boot), _count(since))


def _figure(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ValueError(f"must be a figure, {value!r} is not")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be a text, {value!r} is not")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"must be a count, {value!r} is not")
    return value


def load(path: Path) -> tuple[dict[str, Meters], int]:
    """The meters in a file; none without one. Raises ValueError where it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, 0
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    return parse(text)


def save(path: Path, meters: Mapping[str, Meters], until: int, *, surely: bool) -> None:
    """Replace the file as a whole. Raises OSError."""
    replace_file(path, dump(meters, until), surely=surely)
