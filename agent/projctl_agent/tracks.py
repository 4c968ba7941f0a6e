"""What an agent knew of the use of each run, kept for its successor."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from projctl_agent.checkpoint import replace_file
from projctl_agent.idle import Observation, Packets, Track

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VERSION = 3


def dump(tracks: Mapping[str, Track]) -> str:
    """The text of these tracks, which are by invocation."""
    data = {"version": _VERSION, "tracks": {key: asdict(track) for key, track in tracks.items()}}
    return json.dumps(data, separators=(",", ":"), default=sorted)  # connections are sets


def parse(text: str) -> dict[str, Track]:
    """The tracks of a text by invocation; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(text)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        return {key: _track(**track) for key, track in data["tracks"].items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the tracks of an agent: {error!r}") from None


def _track(
    *, started: object, last_use: object, last_reason: object, previous: dict[str, Any], quiet_rate: object,
    moved: object, cpu_share: object, busy: object, planned: object,
) -> Track:  # fmt: skip
    if not isinstance(last_reason, str):
        raise TypeError("a reason must be a text")
    return Track(
        _number(started),
        _number(last_use),
        last_reason,
        _observation(**previous),
        _number_or_none(quiet_rate),
        _number(moved),
        _number_or_none(cpu_share),
        _number(busy),
        _number_or_none(planned),
    )


def _observation(
    *, taken: object, bytes_in: object, bytes_out: object, counted: object, connections: object, received: object,
    sent: object, opaque: object, queue: object, cpu_seconds: object, mixed: object, program_held: object,
    epoch: object, closed: object,
    packets: object, segments: object,
) -> Observation:  # fmt: skip
    if (
        not isinstance(counted, bool)
        or not isinstance(mixed, bool)
        or not isinstance(connections, list | None)
    ):
        raise TypeError("not an observation")
    return Observation(
        taken=_number(taken),
        bytes_in=_count(bytes_in),
        bytes_out=_count(bytes_out),
        counted=counted,
        connections=None if connections is None else frozenset(map(_count, connections)),
        received=_number_or_none(received),
        sent=_number_or_none(sent),
        opaque=_count(opaque),
        queue=_count(queue),
        cpu_seconds=_number_or_none(cpu_seconds),
        mixed=mixed,
        program_held=_number_or_none(program_held),
        epoch=_count(epoch),
        closed=_number_or_none(closed),
        packets=_packets(packets),
        segments=_packets(segments),
    )


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"must be a number, {value!r} is not")
    return float(value)


def _packets(value: object) -> Packets:
    if not isinstance(value, list):
        raise TypeError("not a pair")
    received, sent = value
    return Packets(_count(received), _count(sent))


def _number_or_none(value: object) -> float | None:
    return None if value is None else _number(value)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"must be a count, {value!r} is not")
    return value


def load(path: Path) -> dict[str, Track]:
    """The tracks in a file; none without one. Raises ValueError where it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ValueError(str(error)) from None
    return parse(text)


def save(path: Path, tracks: Mapping[str, Track]) -> None:
    """Replace the file as a whole. Raises OSError."""
    replace_file(path, dump(tracks))
