"""When a project is idle: a pure function of policy, observations and the clock they carry."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent import pace

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Shorter windows than this many seconds say nothing about a share of CPU.
MIN_WINDOW = 0.25
#: CPU seconds that a window may take beyond usual housekeeping, where only CPU tells of requests.
CPU_GRACE = 0.001


@dataclass(frozen=True, slots=True)
class Policy:
    """What a project's settings and its holds ask for; times in seconds, None: never.

    It stops after `idle_stop` without use, and runs for `min_uptime` at the least. `busy_share` of a CPU counts as
    work, a connection as use until `hold_connections` after its last byte. `held_until` is in monotonic seconds:
    somebody's hold, without an end where it is infinite. `company` is how many are looked at with it, itself included.
    """

    idle_stop: float | None
    min_uptime: float
    busy_share: float | None = 0.02
    hold_connections: float | None = 3600.0
    held_until: float | None = None
    idle_freeze: float | None = None
    company: int = 1


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look found, at `taken` (monotonic seconds).

    Bytes and packets that came in are sums over all counting sockets, since nothing goes out without an answer;
    `counted` is whether each of them has a counter.
    `connections` are the identities of open connections, None when they could not be read; `received` and
    `sent` are the seconds since data last came in and went out on any of them, `segments` how many packets all of them
    have taken, `segments_before` the same of a table that was read before the packets were; `opaque` is how many of
    them do not tell that. `queue` counts connections not accepted yet, `cpu_seconds` is the CPU used so far, None when
    not known; `mixed` is whether sockets that do not count cause some of it. `program_held` is when
    a program of the project last held it awake, `program_changed` the time of its file by which that is known.
    `epoch` is when systemd loaded its units (microseconds): what moves while it does so again is not counted;
    `closed` is the seconds since a connection was closed, looked for only where counters do not tell.
    """

    taken: float
    bytes_in: int
    counted: bool
    connections: frozenset[int] | None
    received: float | None
    sent: float | None
    opaque: int
    queue: int
    cpu_seconds: float | None
    mixed: bool = False
    program_held: float | None = None
    program_changed: float | None = None
    epoch: int = 0
    closed: float | None = None
    packets: int | None = 0
    segments: int = 0
    segments_before: int = 0

    @property
    def quiet(self) -> float | None:
        """Seconds since data moved on any connection, None when none of them tells."""
        return min((age for age in (self.received, self.sent) if age is not None), default=None)


@dataclass(frozen=True, slots=True)
class Track:
    """What is remembered from look to look: the last use and why, and the shares of CPU last and of a quiet server.

    `moved` is when something last told of data, for connections that do not tell it themselves; `busy` is the last
    use by anything but connections that were merely open.
    """

    started: float
    last_use: float
    last_reason: str
    previous: Observation
    quiet_rate: float | None = None
    moved: float = 0.0
    cpu_share: float | None = None
    busy: float = 0.0


class Use(NamedTuple):
    """When the project was used last as far as a look tells, and by what."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why not yet; `next_look` and `would_stop_at` are monotonic seconds; None means never.

    `activity` is what last counted as use; `held` says what else keeps it up (hold, warm, min_uptime), if
    anything.
    It is idle from `would_stop_at` on if nothing happens; the look that stops it may be a little later.
    """

    stop: bool
    activity: str
    held: str | None
    idle_seconds: float
    uptime: float
    next_look: float | None
    would_stop_at: float | None


def begin(started: float, observation: Observation) -> Track:
    """The track of a project first seen now: whoever started it has just used it.

    What moved before, a readiness probe's connection included, lies below this baseline.
    """
    now = observation.taken
    return Track(started, now, "start", observation, moved=now, busy=now)


def resume(policy: Policy, track: Track, now: Observation) -> tuple[Track, Decision]:
    """As look, for a track that was left alone meanwhile: what cannot be ruled out counts as use until now."""
    before = track.previous
    if not before.taken <= now.taken or not track.last_use <= now.taken:
        track = begin(track.started, now)
        return track, decide(policy, track, now.taken)
    if _is_doubtful(policy, before, now):
        track = replace(track, last_use=now.taken, last_reason="restart", moved=now.taken, busy=now.taken)
    return look(policy, track, now)


def _is_doubtful(policy: Policy, before: Observation, now: Observation) -> bool:
    """Whether use could have ended, or hidden in the average, between two looks that are far apart."""
    if before.connections is None or before.queue or before.opaque:
        return True
    if before.connections and not _is_unchanged(before, now):
        return True
    held = before.program_held or 0.0
    if held >= before.taken and (now.program_held or 0.0) <= held:
        return True
    if now.cpu_seconds is None or before.cpu_seconds is None or policy.busy_share is None:
        return False
    window = min(now.taken - before.taken, pace.step(policy.idle_stop or 0.0))
    return now.cpu_seconds - before.cpu_seconds >= policy.busy_share * max(window, MIN_WINDOW)


def use(policy: Policy, track: Track, now: Observation) -> Use | None:
    """The last use that this look tells of; None when it tells of none."""
    return _last(_uses(policy, track, now))


def _last(found: Iterable[Use]) -> Use | None:
    """Of several at the same moment the first one counts."""
    return max(found, key=lambda one: one.at, default=None)


def _uses(policy: Policy, track: Track, now: Observation) -> list[Use]:
    found = [Use(now.taken, reason) for reason in _signs(policy, track, now)]
    if now.quiet is not None:
        found.append(Use(now.taken - now.quiet, "bytes"))
    if now.closed is not None and now.taken - now.closed > track.previous.taken:
        found.append(Use(now.taken - now.closed, "bytes"))
    if now.connections:
        found.append(Use(min(now.taken, _counts_until(policy, track, now)), "connections"))
    if now.program_held is not None:
        found.append(Use(_program_held(track.previous, now), "program"))
    if policy.held_until is not None:
        found.append(Use(min(now.taken, policy.held_until), "hold"))
    return found


def _program_held(before: Observation, now: Observation) -> float:
    """When a program held the project last; one that let go without telling when may have done so just now."""
    last = now.program_held or 0.0
    let_go = last < before.taken <= (before.program_held or 0.0)
    return now.taken if let_go else min(now.taken, last)


def _signs(policy: Policy, track: Track, now: Observation) -> list[str]:
    """What tells of use at any time since the last look."""
    if now.queue:
        return ["queue"]
    if now.connections is None:
        return ["blind"]
    signs = ["bytes"] if _has_moved_bytes(track.previous, now) else []
    if work := _use_of_cpu(policy, track, now):
        signs.append(work)
    return signs


def _has_moved_bytes(before: Observation, now: Observation) -> bool:
    same = now.bytes_in == before.bytes_in
    # Counters that were away for a moment begin anew; through two loads of units in a row, too.
    anew = before.epoch != now.epoch and not now.bytes_in
    return before.counted == now.counted and not same and not anew and not _is_unchanged(before, now)


def _is_gapless(before: Observation, now: Observation) -> bool:
    """Whether the counters hold all that moved between the two."""
    return before.counted and now.counted and before.epoch == now.epoch


def _is_unchanged(before: Observation, now: Observation) -> bool:
    """Whether the connections stayed as they were, without data: what moved were probes that keep them alive.

    It was so when these connections account for every packet; one that came and went between would have had more.
    """
    if not now.connections or now.connections != before.connections or now.opaque:
        return False
    if now.quiet is None or now.quiet <= now.taken - before.taken:
        return False
    if now.packets is None or before.packets is None:
        return False
    return now.packets - before.packets <= now.segments - before.segments_before


def _counts_until(policy: Policy, track: Track, now: Observation) -> float:
    """Until when the open connections count as use: so long after the last byte on any of them."""
    if policy.hold_connections is None:
        return math.inf
    moments = [now.taken - now.quiet] if now.quiet is not None else []
    if now.opaque:
        moments.append(now.taken if _has_moved(policy, track, now) else track.moved)
    return max(moments, default=now.taken) + policy.hold_connections


def _has_moved(policy: Policy, track: Track, now: Observation) -> bool:
    """Whether anything tells of data since the last look: for connections that do not tell it themselves."""
    if now.connections != track.previous.connections or _has_moved_bytes(track.previous, now) or now.queue:
        return True
    return _has_worked(policy, track, now)


def _use_of_cpu(policy: Policy, track: Track, now: Observation) -> str | None:
    rate = _cpu_rate(track.previous, now)
    if rate is None:
        if now.taken - track.previous.taken < MIN_WINDOW:
            return None
        return None if _is_gapless(track.previous, now) else "blind"
    if policy.busy_share is not None and rate >= policy.busy_share:
        return "cpu"
    return None if _is_gapless(track.previous, now) or not _has_worked(policy, track, now) else "cpu"


def _has_worked(policy: Policy, track: Track, now: Observation) -> bool:
    """Whether it used more CPU than in its quietest window; where others cause some of it, more than its share."""
    rate, window = _cpu_rate(track.previous, now), now.taken - track.previous.taken
    if rate is None:
        return window >= MIN_WINDOW
    if now.mixed:
        return policy.busy_share is not None and rate >= policy.busy_share
    usual = 0.0 if track.quiet_rate is None else track.quiet_rate
    return rate * window > 2 * usual * window + CPU_GRACE


def _cpu_rate(before: Observation, now: Observation) -> float | None:
    """Share of one CPU that was used between two looks; None where that says nothing."""
    window = now.taken - before.taken
    if window < MIN_WINDOW or now.cpu_seconds is None or before.cpu_seconds is None:
        return None
    return max(0.0, now.cpu_seconds - before.cpu_seconds) / window


def look(policy: Policy, track: Track, now: Observation) -> tuple[Track, Decision]:
    """The track after this look, and what to do."""
    every = _uses(policy, track, now)
    found, busy = _last(every), _last(one for one in every if one.reason != "connections")
    counts_until = _counts_until(policy, track, now) if now.connections else 0.0
    moved = now.taken if _has_moved(policy, track, now) else track.moved
    rate = _cpu_rate(track.previous, now)
    if rate is not None:
        quiet = rate if track.quiet_rate is None else min(rate, track.quiet_rate)
        track = replace(track, quiet_rate=quiet, cpu_share=rate)
    if now.taken - track.previous.taken >= MIN_WINDOW or (found and found.at == now.taken):
        track = replace(track, previous=now)
    if found and found.at > track.last_use:
        track = replace(track, last_use=found.at, last_reason=found.reason)
    track = replace(track, moved=moved, busy=max(track.busy, busy.at if busy else 0.0))
    return track, decide(policy, track, now.taken, counts_until)


def decide(policy: Policy, track: Track, now: float, counts_until: float = 0.0) -> Decision:
    """What to do at `now`, given the last use, and until when the connections that are open count as use."""
    idle, uptime = now - track.last_use, now - track.started
    held_until = policy.held_until or 0.0
    holds = "hold" if held_until > now else None
    if policy.idle_stop is None or held_until == math.inf:
        return Decision(False, track.last_reason, holds, idle, uptime, None, None)
    # What is certain to keep it up until then, whatever happens meanwhile.
    least = max(max(track.last_use, held_until) + policy.idle_stop, track.started + policy.min_uptime)
    due = max(least, counts_until + policy.idle_stop)
    if now >= due:
        return Decision(True, track.last_reason, None, idle, uptime, None, due)
    held = holds or ("min_uptime" if idle >= policy.idle_stop else None)
    # Counters keep what moved, and use before the last idle time postpones nothing.
    rests = track.previous.counted
    free = least - policy.idle_stop
    following = pace.following(policy.idle_stop, now, due, free=free, rests=rests, company=policy.company)
    if _is_being_started(track, now):
        following = min(following, now + pace.FIRST)
    return Decision(False, track.last_reason, held, idle, uptime, following, None if due == math.inf else due)


def _is_being_started(track: Track, now: float) -> bool:
    """Whether this is the first look, and whoever started it still waits for the answer."""
    first = track.last_reason == "start" and track.last_use == track.previous.taken == now
    return first and bool(track.previous.connections or track.previous.queue)


def woken(track: Track, now: float) -> Track:
    """The track of a project that was frozen and is not any more: use, where no counter will tell of it."""
    track = replace(track, busy=now)
    if track.previous.counted or track.previous.mixed:
        return track
    return replace(track, last_use=now, last_reason="connections")


def is_stirred(track: Track, now: Observation) -> bool:
    """Whether anything has come or moved since the look before, however near it is."""
    before = track.previous
    if now.queue or now.connections is None or now.connections != before.connections:
        return True
    if now.quiet is not None and now.quiet < now.taken - before.taken:
        return True
    if _has_moved_bytes(before, now) or (now.program_held or 0.0) > before.taken:
        return True
    if _is_gapless(before, now) or now.mixed:
        return False
    worked = (now.cpu_seconds or 0.0) - (before.cpu_seconds or 0.0)
    return worked > 2 * (track.quiet_rate or 0.0) * (now.taken - before.taken) + CPU_GRACE


def freeze_due(policy: Policy, track: Track) -> float | None:
    """When it freezes if nothing happens, None for never."""
    return None if policy.idle_freeze is None else track.busy + policy.idle_freeze
