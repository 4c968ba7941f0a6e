"""What the helper may be asked: one JSON object a line, a verb and the unit that it is for."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple

from projctl_agent.names import instance_of_service, instance_of_socket, instance_of_warmth, paused_by

VERSION = 1
LONGEST = 4096
_MOST_INODES = 128


class Verb(StrEnum):
    """What is to be done."""

    START = "start"
    RESET = "reset"
    FREEZE = "freeze"
    RECLAIM = "reclaim"
    THAW = "thaw"
    HOLDERS = "holders"
    COUNT = "count"


_OF_SERVICES = frozenset({Verb.FREEZE, Verb.RECLAIM, Verb.THAW})


class Request(NamedTuple):
    """One order."""

    verb: Verb
    unit: str = ""
    inodes: tuple[int, ...] = ()


class RefusedError(Exception):
    """The helper does not do that; the text says why, in one line."""


def parse(line: bytes) -> Request:
    """The order in a line. Raises RefusedError for anything but a verb and the name of a project's unit."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise RefusedError("must be one line of JSON") from None
    if not isinstance(data, dict) or len(data) != 1:
        raise RefusedError("must be an object with one verb and its unit")
    ((verb, unit),) = data.items()
    if verb not in set(Verb):
        raise RefusedError(f"unknown verb, must be one of: {', '.join(Verb)}")
    if verb == Verb.HOLDERS:
        return Request(Verb.HOLDERS, inodes=_inodes(unit))
    if not isinstance(unit, str) or not (
        instance_of_service(unit) or instance_of_socket(unit) or instance_of_warmth(unit) or paused_by(unit)
    ):
        raise RefusedError("must name a service or socket of a project")
    if verb in _OF_SERVICES and (instance_of_service(unit) or ("", True))[1]:
        raise RefusedError(f"cannot {verb} that, must name a project's first service")
    if verb == Verb.COUNT and not instance_of_socket(unit):
        raise RefusedError("cannot count that, must name a socket of a project")
    return Request(Verb(verb), unit)


def _inodes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MOST_INODES or not all(type(one) is int for one in value):
        raise RefusedError(f"must name at most {_MOST_INODES} sockets by their inodes")
    return tuple(value)


def line(**fields: object) -> bytes:
    """An answer, or an order, as one line."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
