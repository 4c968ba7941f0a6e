"""Answers `projctl list` and `projctl status` on the local socket: a JSON line for a JSON line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from projctl_agent import cgroup, failure
from projctl_agent.admission import Places, peer_uid
from projctl_agent.turns import Turns

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from projctl_agent.failure import Failure
    from projctl_agent.lifecycle import Totals
    from projctl_agent.watch import Watch

_LONGEST_REQUEST = 4096
#: Seconds for a request to arrive, and for its answer to be made and taken.
_SILENCE, _PATIENCE = 1.0, 10.0
#: What quietly ends a connection; asyncio would log a traceback for each one that is cancelled.
_ENDS = (OSError, TimeoutError, asyncio.CancelledError)
VERSION = 1


def describe(
    state: str | None, totals: Totals | None, watch: Watch | None, failed: Failure | None, now: float
) -> dict[str, Any]:
    """One instance; `now` in monotonic seconds, `would_stop_at` in seconds since 1970, None: not known."""
    track = watch.track if watch else None
    decision = watch.decision if watch else None
    due = decision.would_stop_at if decision else None
    ended = totals.last_reason if totals else ""
    if state == "failed" and ended == "max_runtime":
        state = "asleep"  # systemd calls it failed, but the next connection starts it
    return {
        "state": state,
        "idle_seconds": None if track is None else round(max(0.0, now - track.last_use), 3),
        "activity": None if track is None else track.last_reason,
        "memory_bytes": cgroup.memory_bytes(watch.target.control_group) if watch else None,
        "starts": totals.starts if totals else 0,
        "reason": _reason(state, ended, watch, failed, now),
        "would_stop_at": None if due is None else round(time.time() + due - now, 3),
    }


def _reason(
    state: str | None, ended: str, watch: Watch | None, failed: Failure | None, now: float
) -> str | None:
    """Why it does not run, or runs although nobody uses it; None where nothing asks for a reason."""
    if state in {"asleep", "down", None}:
        return ended or None
    if state == "failed":
        return failure.explain(failed, ended, now) if failed else ended or None
    return watch.decision.held if watch and watch.decision and state == "running" else None


async def serve(
    listener: socket.socket, projects: Callable[[], Awaitable[dict[str, dict[str, Any]]]]
) -> asyncio.Server:
    """Answer on this socket until the server is closed."""
    places = Places()
    turns: Turns[bytes] = Turns()

    async def answer() -> bytes:
        return _line(projects=await projects())

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(*_ENDS), places.take(_uid(writer)) as free:
                refusal = await _refusal(reader) if free else "too many connections"
                async with asyncio.timeout(_PATIENCE):
                    writer.write(_line(error=refusal) if refusal else await turns.ask("status", answer))
                    await writer.drain()
        finally:
            writer.close()

    return await asyncio.start_unix_server(handle, sock=listener, limit=_LONGEST_REQUEST)


def _uid(writer: asyncio.StreamWriter) -> int:
    return peer_uid(writer.get_extra_info("socket"))


async def _refusal(reader: asyncio.StreamReader) -> str | None:
    """Why the request that arrives cannot be answered; None where it can. Raises TimeoutError."""
    try:
        async with asyncio.timeout(_SILENCE):
            request = json.loads(await reader.readline())
    except (ValueError, RecursionError):
        return "must be one line of JSON"
    return None if request == {"get": "status"} else 'unknown request, must be {"get":"status"}'


def _line(**fields: object) -> bytes:
    return json.dumps({"version": VERSION, **fields}, separators=(",", ":")).encode() + b"\n"
