"""What an agent knew of the use of each run, kept for its successor."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from projctl_agent import statefile
from projctl_agent.idle import Observation, Track
from projctl_agent.statefile import count, number, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VERSION = 6


def dump(tracks: Mapping[str, Track]) -> str:
    """The text of these tracks, which are by invocation."""
    data = {"version": _VERSION, "tracks": {key: asdict(track) for key, track in tracks.items()}}
    return json.dumps(data, separators=(",", ":"), default=sorted)  # connections are sets


def parse(content: str) -> dict[str, Track]:
    """The tracks of a text by invocation; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        return {key: _track(**track) for key, track in data["tracks"].items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the tracks of an agent: {error!r}") from None


def _track(
    *, started: object, last_use: object, last_reason: object, previous: dict[str, Any], quiet_rate: object,
    moved: object, cpu_share: object, busy: object,
) -> Track:  # fmt: skip
    return Track(
        number(started),
        number(last_use),
        text(last_reason),
        _observation(**previous),
        _number_or_none(quiet_rate),
        number(moved),
        _number_or_none(cpu_share),
        number(busy),
    )


def _observation(
    *, taken: object, bytes_in: object, counted: object, connections: object, received: object,
    sent: object, opaque: object, queue: object, cpu_seconds: object, mixed: object, program_held: object,
    program_changed: object, epoch: object, closed: object,
    packets: object, segments: object, segments_before: object,
) -> Observation:  # fmt: skip
    if (
        not isinstance(counted, bool)
        or not isinstance(mixed, bool)
        or not isinstance(connections, list | None)
    ):
        raise TypeError("not an observation")
    return Observation(
        taken=number(taken),
        bytes_in=count(bytes_in),
        counted=counted,
        connections=None if connections is None else frozenset(map(count, connections)),
        received=_number_or_none(received),
        sent=_number_or_none(sent),
        opaque=count(opaque),
        queue=count(queue),
        cpu_seconds=_number_or_none(cpu_seconds),
        mixed=mixed,
        program_held=_number_or_none(program_held),
        program_changed=_number_or_none(program_changed),
        epoch=count(epoch),
        closed=_number_or_none(closed),
        packets=None if packets is None else count(packets),
        segments=count(segments),
        segments_before=count(segments_before),
    )


def _number_or_none(value: object) -> float | None:
    return None if value is None else number(value)


def load(path: Path) -> dict[str, Track]:
    """The tracks in a file; none without one. Raises ValueError where it is damaged."""
    content = statefile.read(path)
    return {} if content is None else parse(content)


def save(path: Path, tracks: Mapping[str, Track]) -> None:
    """Replace the file as a whole. Raises OSError."""
    statefile.replace(path, dump(tracks))
