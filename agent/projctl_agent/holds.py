"""What people hold awake: by instance, kept in one file, with or without an end."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from projctl_agent import statefile
from projctl_agent.clock import system
from projctl_agent.statefile import count, instance, number, text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from projctl_agent.clock import Clock

_VERSION = 1
#: An ended hold is remembered for so long: until then every run has been looked at since, agent or not.
_REMEMBERED = 86400.0
#: Seconds from which on a clock was set, not corrected.
_SET = 1.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds it since when and until when, in seconds since 1970; without an end until it is released.

    `boot` and `offset` tell how the clock was set when it was ordered: it lasts as long however that is set later.
    `told` is whether the journal knows of its end.
    """

    uid: int
    since: float
    until: float | None
    boot: str = field(default="", compare=False)
    offset: float = field(default=0.0, compare=False)
    told: bool = field(default=False, compare=False)

    def is_over(self, now: float) -> bool:
        """Whether it has ended at `now`, in seconds since 1970."""
        return self.until is not None and self.until <= now


class Holds:
    """All holds by instance; `path` is their file, None where nothing can be kept."""

    def __init__(self, path: Path | None, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or system()
        self._holds: dict[str, Hold] = {}

    def load(self) -> None:
        """Take over what another agent saved. Raises ValueError where it is damaged."""
        content = statefile.read(self._path) if self._path else None
        self._holds = parse(content) if content else {}

    def hold(self, instances: Iterable[str], hold: Hold) -> None:
        """Hold these instances in place of what held them before. Raises OSError where it cannot be saved."""
        hold = replace(hold, boot=self._clock.boot, offset=self._clock.offset)
        self._replace(self._holds | dict.fromkeys(instances, hold), hold.since)

    def release(self, instances: Iterable[str], now: float) -> list[str]:
        """End what holds these instances now; those that were held. Raises OSError where it cannot be saved."""
        ended = [name for name in instances if self.current(name, now)]
        boot, offset = self._clock.boot, self._clock.offset
        known = {
            name: replace(self._holds[name], until=now, boot=boot, offset=offset, told=True) for name in ended
        }
        if ended:
            self._replace(self._holds | known, now)
        return ended

    def expired(self, now: float) -> dict[str, Hold]:
        """What ended by its time and was not told before: the caller does, and where it can be saved, nobody again."""
        over = {name: hold for name in self._holds if (hold := self._untold(name)) and hold.is_over(now)}
        if over:
            self._holds |= {name: replace(self._holds[name], told=True) for name in over}
            with contextlib.suppress(OSError):
                self._replace(self._holds, now)
        return over

    def next_end(self) -> float | None:
        """When the first of them ends by its time that was not told, in monotonic seconds."""
        ends = [hold.until for name in self._holds if (hold := self._untold(name)) and hold.until is not None]
        return min(ends) - self._clock.offset if ends else None

    def _untold(self, instance: str) -> Hold | None:
        hold = self._as_set_now(instance)
        return None if hold is None or hold.told else hold

    def current(self, instance: str, now: float) -> Hold | None:
        """What holds the instance at `now`, in seconds since 1970."""
        hold = self._as_set_now(instance)
        return None if hold is None or hold.is_over(now) else hold

    def held_until(self, instance: str) -> float | None:
        """Until when it is or was held, in monotonic seconds; infinite without an end, None where it was not."""
        hold = self._as_set_now(instance)
        if hold is None:
            return None
        return math.inf if hold.until is None else hold.until - self._clock.offset

    def _as_set_now(self, instance: str) -> Hold | None:
        """The hold with its end by the clock as it is set now; after a reboot as it was told."""
        hold = self._holds.get(instance)
        if hold is None or hold.until is None or hold.boot != self._clock.boot:
            return hold
        shift = self._clock.offset - hold.offset
        return replace(hold, until=hold.until + shift) if abs(shift) > _SET else hold

    def _replace(self, holds: dict[str, Hold], now: float) -> None:
        kept = {name: hold for name, hold in holds.items() if not hold.is_over(now - _REMEMBERED)}
        if self._path:
            statefile.replace(self._path, dump(kept))
        self._holds = kept


def dump(holds: dict[str, Hold]) -> str:
    """The text of these holds."""
    return json.dumps({"version": _VERSION, "holds": {name: asdict(hold) for name, hold in holds.items()}})


def parse(content: str) -> dict[str, Hold]:
    """The holds of a text by instance; raises ValueError for anything that dump did not write."""
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        return {instance(name): _hold(**hold) for name, hold in data["holds"].items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the holds of an agent: {error!r}") from None


def _hold(*, uid: object, since: object, until: object, boot: object, offset: object, told: object) -> Hold:
    end = None if until is None else number(until)
    if not isinstance(told, bool):
        raise TypeError("told must be true or false")
    return Hold(count(uid), number(since), end, text(boot), number(offset), told)
