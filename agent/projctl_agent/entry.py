"""One entry of the journal about a project's service, as far as it matters here."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING: Mapping[str, float | int | str] = MappingProxyType({})


class Kind(StrEnum):
    """What an entry tells."""

    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    EXITED = "exited"
    PROBE_FAILED = "probe-failed"
    STOPPED = "stopped"
    SUCCESS = "success"
    FAILURE = "failure"
    USED = "used"
    OUT_OF_MEMORY = "out-of-memory"
    IDLE_STOP = "idle-stop"
    IDLE_STOP_REFUSED = "idle-stop-refused"
    ENDED = "ended"
    NO_COUNTERS = "no-counters"
    FROZEN = "frozen"
    THAWED = "thawed"
    REARMED = "rearmed"
    WARM = "warm"
    LEAK = "leak"
    ORDER = "order"
    SUPPRESSED = "suppressed"
    HOLD = "hold"
    RELEASE = "release"


class Entry(NamedTuple):
    """One entry. Times in microseconds, `monotonic` counted within `boot`.

    `result` is UNIT_RESULT, or how a process ended, or in an entry of ours its reason or what was ordered; `figures`
    have ours, and systemd's about what a run used.
    """

    kind: Kind
    unit: str
    invocation: str
    boot: str
    realtime: int
    monotonic: int
    result: str = ""
    figures: Mapping[str, float | int | str] = NOTHING
