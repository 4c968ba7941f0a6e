"""When a project is idle: a pure function of policy, observations and the clock they carry."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Share of one CPU from which background work counts as use.
BUSY_SHARE = 0.02
#: Shorter windows than this many seconds say nothing about a share of CPU.
MIN_WINDOW = 0.25
#: CPU seconds that a window may take beyond usual housekeeping, where only CPU tells of requests.
CPU_GRACE = 0.001
#: Never look more often than this many seconds, nor more often than idle time / LOOKS.
MIN_LOOK = 0.5
LOOKS = 20


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds without use after which a project stops (None: never), seconds it runs at the least."""

    idle_stop: float | None
    min_uptime: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look found, at `taken` (monotonic seconds).

    `ip_bytes` is the sum over all counting sockets, `counted` whether each of them has a counter.
    `connections` are the identities of established connections, None when they could not be read;
    `quiet` is the seconds since data last moved on any of them, None when that is not known.
    `queue` counts connections not accepted yet; `cpu_seconds` is the CPU used so far, None when not known.
    """

    taken: float
    ip_bytes: int
    counted: bool
    connections: frozenset[int] | None
    quiet: float | None
    queue: int
    cpu_seconds: float | None


@dataclass(frozen=True, slots=True)
class Track:
    """What is remembered from look to look: the last use and why, and the rate of CPU of a quiet server."""

    started: float
    last_use: float
    last_reason: str
    previous: Observation
    quiet_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why not yet; `next_look` and `would_stop_at` are monotonic seconds; None means never.

    `activity` is what last counted as use; `held` says what keeps an idle project up (min_uptime), if anything.
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
    return Track(started, observation.taken, "start", observation)


def resume(policy: Policy, track: Track, now: Observation) -> tuple[Track, Decision]:
    """As look, for a track that was left alone meanwhile: what cannot be ruled out counts as use until now."""
    before = track.previous
    if not before.taken <= now.taken or not track.last_use <= now.taken:
        track = begin(track.started, now)
        return track, decide(policy, track, now.taken)
    if _is_doubtful(policy, before, now):
        track = replace(track, last_use=now.taken, last_reason="restart")
    return look(policy, track, now)


def _is_doubtful(policy: Policy, before: Observation, now: Observation) -> bool:
    """Whether use could have ended, or hidden in the average, between two looks that are far apart."""
    if before.connections is None or before.connections or before.queue:
        return True
    if now.cpu_seconds is None or before.cpu_seconds is None:
        return False
    window = min(now.taken - before.taken, _interval(policy.idle_stop or 0.0))
    return now.cpu_seconds - before.cpu_seconds >= BUSY_SHARE * max(window, MIN_WINDOW)


def use(track: Track, now: Observation) -> str | None:
    """What tells that the project was used since the last look; None when nothing does."""
    before = track.previous
    if now.queue:
        return "queue"
    if now.connections is None:
        return "blind"
    if now.ip_bytes != before.ip_bytes and not _keepalive_explains(before, now):
        return "bytes"
    if now.connections:
        return "connections"
    return _use_of_cpu(track, now)


def _keepalive_explains(before: Observation, now: Observation) -> bool:
    """Whether probes on connections that stayed as they were, without data, account for the bytes."""
    return (
        bool(now.connections)
        and now.connections == before.connections
        and now.quiet is not None
        and now.quiet > now.taken - before.taken
    )


def _use_of_cpu(track: Track, now: Observation) -> str | None:
    rate = _cpu_rate(track.previous, now)
    window = now.taken - track.previous.taken
    if rate is None:
        if window < MIN_WINDOW:
            return None
        return None if now.counted else "blind"
    if rate >= BUSY_SHARE:
        return "cpu"
    if now.counted:
        return None
    usual = 0.0 if track.quiet_rate is None else track.quiet_rate
    return "cpu" if rate * window > 2 * usual * window + CPU_GRACE else None


def _cpu_rate(before: Observation, now: Observation) -> float | None:
    window = now.taken - before.taken
    if window < MIN_WINDOW or now.cpu_seconds is None or before.cpu_seconds is None:
        return None
    return max(0.0, now.cpu_seconds - before.cpu_seconds) / window


def look(policy: Policy, track: Track, now: Observation) -> tuple[Track, Decision]:
    """The track after this look, and what to do."""
    reason = use(track, now)
    rate = _cpu_rate(track.previous, now)
    if rate is not None:
        track = replace(track, quiet_rate=rate if track.quiet_rate is None else min(rate, track.quiet_rate))
    if now.taken - track.previous.taken >= MIN_WINDOW or reason:
        track = replace(track, previous=now)
    if reason:
        track = replace(track, last_use=now.taken, last_reason=reason)
    return track, decide(policy, track, now.taken)


def decide(policy: Policy, track: Track, now: float) -> Decision:
    """What to do at `now`, given the last use."""
    idle, uptime = now - track.last_use, now - track.started
    if policy.idle_stop is None:
        return Decision(False, track.last_reason, None, idle, uptime, None, None)
    due = max(track.last_use + policy.idle_stop, track.started + policy.min_uptime)
    if now >= due:
        return Decision(True, track.last_reason, None, idle, uptime, None, due)
    held = "min_uptime" if idle >= policy.idle_stop else None
    # Counters keep what moved, and use before the last idle time postpones nothing.
    rests = bool(held) and track.previous.counted
    following = _next_rest(policy.idle_stop, now, due) if rests else None
    following = following or _next_look(policy.idle_stop, now, due)
    return Decision(False, track.last_reason, held, idle, uptime, following, due)


def _next_rest(idle_stop: float, now: float, due: float) -> float | None:
    """The next look at what min_uptime alone holds: an idle time away, up to the last one before it is due."""
    begins = due - idle_stop
    if begins - now < 1.5 * _interval(idle_stop):
        return None
    return begins if begins - now < 1.5 * max(idle_stop, MIN_LOOK) else now + max(idle_stop, MIN_LOOK)


def _next_look(idle_stop: float, now: float, due: float) -> float:
    interval = _interval(idle_stop)
    return due if due - now < 1.5 * interval else now + interval


def _interval(idle_stop: float) -> float:
    """Seconds between two looks."""
    return max(MIN_LOOK, idle_stop / LOOKS)
