"""What to change, and why: out of the figures alone; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl.listing import size, span
from projctl.report.spans import percentile, total

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projctl.portlist import RangeUse
    from projctl.report.servers import Server

#: A start that clients notice, and one that is too slow by the target, in seconds.
_NOTICED, _SLOW = 2.0, 5.0
#: Starts a day from which on it pays to have a server warm.
_OFTEN = 2.0
#: How many short pauses make a flap, and what share of all idle stops they must be.
_FLAPS, _FLAP_SHARE = 3, 0.5
_CRASHES = 3
_FULL = 0.8
#: From so many servers on that are up nearly always, one that all share costs less.
_MANY, _ALWAYS = 100, 0.9


@dataclass(frozen=True)
class Advice:
    """One recommendation; `subject` is a server, a range of ports or empty for the fleet."""

    kind: str
    subject: str
    text: str
    reason: str


#: A recommendation and how much it weighs among its kind.
Weighed = tuple[float, Advice]


def give(servers: Sequence[Server], ranges: Sequence[RangeUse]) -> list[Advice]:
    """All there is to recommend, what hurts most first."""
    found: list[Weighed] = []
    for rule in (_memory, _crashes, _flaps, _starts):
        of_rule = (weighed for server in servers for weighed in rule(server))
        found += sorted(of_rule, key=lambda weighed: (weighed[1].kind, -weighed[0]))
    return [*(advice for _, advice in found), *_ports(ranges), *_shared(servers)]


def _memory(server: Server) -> Iterator[Weighed]:
    killed = [run for run in server.runs if run.reason == "oom"]
    if killed:
        limit = server.settings.memory_max if server.settings else None
        peaks = [
            run.figures["memory_peak_bytes"] for run in server.runs if "memory_peak_bytes" in run.figures
        ]
        reason = f"ran out of memory {_times(len(killed))}"
        reason += f", its limit is {limit}" if limit else ", it has no limit of its own"
        reason += f", it needed {size(int(max(peaks)))} at the most" if peaks else ""
        yield len(killed), Advice("memory", server.name, "give it more memory (limits: memory)", reason)


def _crashes(server: Server) -> Iterator[Weighed]:
    broken = [run for run in server.runs if run.broke and run.reason != "oom"]
    if len(broken) >= _CRASHES:
        never = sum(run.failed_to_start for run in broken)
        said = next((run.exit for run in reversed(broken) if run.exit), "")
        reason = f"ended by a fault {_times(len(broken))}, {never} of them before it was ready"
        reason += f"; last: {said}" if said else ""
        yield len(broken), Advice("faults", server.name, "look into its log (projctl logs NAME)", reason)


def _flaps(server: Server) -> Iterator[Weighed]:
    limit = server.settings.idle_stop if server.settings else None
    stops = sum(run.reason == "idle" for run in server.runs)
    short = sorted(pause for pause in _pauses(server) if limit and pause <= limit)
    if limit and len(short) >= _FLAPS and len(short) >= _FLAP_SHARE * stops:
        wanted = _rounded(limit + (percentile(short, 0.9) or 0))
        reason = f"{len(short)} of {stops} idle stops were followed by a start within {span(limit)}"
        reason += f": {span(wanted)} instead would have bridged most"
        yield len(short), Advice("idle", server.name, "give it a longer idle time (idle)", reason)


def _pauses(server: Server) -> list[float]:
    """Seconds from each idle stop until the next start."""
    return [
        new.began - old.ended
        for old, new in server.successions
        if old.reason == "idle" and old.ended is not None and new.began is not None
    ]


def _rounded(seconds: float) -> float:
    """Up to whole minutes, above an hour to quarters of one, above two hours to whole hours."""
    step = 60 if seconds <= 3600 else 900 if seconds <= 7200 else 3600
    return -(-seconds // step) * step


def _starts(server: Server) -> Iterator[Weighed]:
    p95 = percentile(server.cold, 0.95)
    if p95 is None:
        return
    count = len(server.cold)
    reason = f"{count} cold start{'s' * (count != 1)}, 95 % of them within {p95:.1f} s"
    if p95 >= _NOTICED and count >= _OFTEN * max(1.0, total(server.lived) / 86400):
        text = "start it ahead of its use (warm), or give it a longer idle time"
        yield count * p95, Advice("warm", server.name, text, reason)
    elif p95 >= _SLOW:
        yield p95, Advice("slow", server.name, "find out what makes its start slow", reason)


def _ports(ranges: Sequence[RangeUse]) -> Iterator[Advice]:
    for use in ranges:
        if use.kind != "listen" and use.utilisation >= _FULL:
            reason = f'{use.free} of {use.total} ports under "{use.kind}" are free'
            yield Advice("ports", f"{use.first}-{use.last}", "add a range of ports", reason)


def _shared(servers: Sequence[Server]) -> Iterator[Advice]:
    always = [
        server for server in servers if server.lived and total(server.up) >= _ALWAYS * total(server.lived)
    ]
    if len(always) >= _MANY:
        text = "consider one shared server for those that never sleep"
        reason = (
            f"{len(always)} servers were up {_ALWAYS:.0%} of the time or more: sleeping saves nothing there"
        )
        yield Advice("shared", "", text, reason)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
