"""What happened to each server lately, out of lifecycle events; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl.doctor.facts import History

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from projctl.report.events import Event

#: Seconds that count as lately, and from which on a start is worth a word.
WINDOW = 7 * 86400.0
SLOW = 3.0
#: Ends by systemd's time-out that are no stops.
_NO_STOPS = frozenset({"start_timeout", "max_runtime"})


def read(events: Iterable[Event], expired: Mapping[str, Collection[str]]) -> dict[str, History]:
    """The history of each server; `expired` are its invocations that systemd ended when a time was over.

    Events name why a run was to end, so that a stop which took too long is one for its idle time or by hand there.
    """
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.server, []).append(event)
    return {server: _history(of_it, expired.get(server, ())) for server, of_it in found.items()}


def _history(events: list[Event], expired: Collection[str]) -> History:
    times = [
        event.figures["seconds"] for event in events if event.kind == "ready" and "seconds" in event.figures
    ]
    wrong = [event for event in events if event.kind == "crashed" and event.reason != "stop_timeout"]
    others = {event.invocation for event in events if event.reason in _NO_STOPS}
    return History(
        starts=len(times),
        slow=tuple(seconds for seconds in times if seconds >= SLOW),
        crashes=len(wrong),
        out_of_memory=sum(event.kind == "oom" for event in events),
        stop_timeouts=len(set(expired) - others),
    )
