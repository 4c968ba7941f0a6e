"""The meters of all projects in one file, which is replaced as a whole."""

from __future__ import annotations

import json
from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any

from projctl_agent import statefile
from projctl_agent.meters.meter import Meter
from projctl_agent.meters.project import Meters, Sleep
from projctl_agent.statefile import count, instance, number, text

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


def parse(content: str) -> tuple[dict[str, Meters], int]:
    """What dump wrote; raises ValueError for anything else."""
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        projects = {instance(name): _meters(**of) for name, of in data["projects"].items()}
        return projects, count(data["until"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the meters of an agent: {error!r}") from None


def _meters(*, peak: list[Any], last: list[Any], sleep: list[Any] | None, **kept: list[Any]) -> Meters:
    if unknown := kept.keys() - set(_METERS):
        raise ValueError(f"unknown meter {min(unknown)!r}")
    found = Meters(**{name: _meter(*of) for name, of in kept.items()})  # type: ignore[arg-type]
    found.peak, found.peak_of = count(peak[0]), text(peak[1])
    found.uptime, found.uptime_of = _figure(last[0]), text(last[1])
    found.sleep = None if sleep is None else _sleep(*sleep)
    return found


def _meter(total: object, seen: dict[str, object]) -> Meter:
    return Meter(_figure(total), {text(run): _figure(figure) for run, figure in seen.items()})


def _sleep(key: object, boot: object, since: object) -> Sleep:
    return Sleep(text(key), text(boot), count(since))


def _figure(value: object) -> float:
    if number(value) < 0:
        raise ValueError(f"must be a figure, {value!r} is not")
    return number(value)


def load(path: Path) -> tuple[dict[str, Meters], int]:
    """The meters in a file; none without one. Raises ValueError where it is damaged."""
    content = statefile.read(path)
    return ({}, 0) if content is None else parse(content)


def save(path: Path, meters: Mapping[str, Meters], until: int, *, surely: bool) -> None:
    """Replace the file as a whole. Raises OSError."""
    statefile.replace(path, dump(meters, until), surely=surely)
