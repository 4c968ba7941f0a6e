"""Histories made by hand or by formula, as the lines that `projctl-agent events --json` prints."""

from __future__ import annotations

import json
from typing import Any

#: 2026-03-01 00:00 UTC, the beginning of the window.
T0 = 1772323200.0
HOUR, DAY = 3600.0, 86400.0
GIB = 1 << 30


def line(
    time: float, event: str, server: str, invocation: str = "", reason: str | None = None, **more: Any
) -> str:
    """One event, `time` in seconds after T0."""
    project, at, number = server.partition("@")
    fields = {
        "time": T0 + time,
        "event": event,
        "project": project,
        "instance": int(number) if at else None,
        "unit": f"projctl-{server}.service",
        "invocation": invocation or None,
        "reason": reason,
    }
    return json.dumps(fields | more)


def run(
    server: str, invocation: str, begin: float, start: float, end: float, reason: str = "idle", **more: Any
) -> list[str]:
    """A run from `begin` to `end` that was ready after `start` seconds; an idle one with the agent's entry."""
    lines = [
        line(begin, "starting", server, invocation),
        line(begin + start, "ready", server, invocation, seconds=start),
    ]
    uptime = end - begin - start
    if reason == "idle":
        told = {"idle_seconds": 3600.0, "uptime_seconds": uptime, "activity": "bytes"} | more
        lines.append(line(end, "idle_stop", server, invocation, "idle", **told))
    if reason in {"idle", "manual", "apply"}:
        lines.append(line(end, "stopping", server, invocation))
    event = {"crash": "crashed", "start_timeout": "crashed", "oom": "oom"}.get(reason, "stopped")
    return [*lines, line(end, event, server, invocation, reason, uptime_seconds=uptime, **more)]


def by_hand() -> list[str]:
    """Two days of five servers, small enough to compute every figure with a pencil (see test_kpis.py)."""
    blog = [
        *run("blog", "b1", 6 * HOUR, 2.0, 8 * HOUR, memory_bytes=GIB),
        # stopped 1,400 s after it was due: not in time
        *run("blog", "b2", 36 * HOUR, 1.0, 38 * HOUR, memory_bytes=GIB, idle_seconds=5000.0),
        line(39 * HOUR, "leak", "blog"),
    ]
    first = [
        # began an hour before the window: only its end is told
        line(12 * HOUR, "stopping", "shop@0", "s0"),
        line(12 * HOUR, "stopped", "shop@0", "s0", "manual", uptime_seconds=13 * HOUR, memory_bytes=2 * GIB),
        line(12 * HOUR, "starting", "shop@0", "s1"),
        line(12 * HOUR + 0.5, "ready", "shop@0", "s1", seconds=0.5),
    ]
    second = [
        *run("shop@1", "t0", 10 * HOUR, 4.0, 11 * HOUR, "crash", memory_bytes=GIB, exit="killed by SIGSEGV"),
        line(11 * HOUR + 1, "starting", "shop@1", "t1"),
        line(11 * HOUR + 31, "crashed", "shop@1", "t1", "start_timeout", exit="not ready in time"),
        *run(
            "shop@1",
            "t2",
            11 * HOUR + 40,
            6.0,
            12 * HOUR,
            "oom",
            memory_bytes=3 * GIB,
            memory_peak_bytes=3 * GIB,
        ),
        *run("shop@1", "t3", 12 * HOUR + 1, 1.0, 13 * HOUR + 2, "exit", memory_bytes=GIB),
    ]
    maint = [
        *run("maint", "m0", 24 * HOUR, 0.25, 25 * HOUR, "manual", memory_bytes=GIB // 2),
        line(26 * HOUR, "down", "maint"),
        line(32 * HOUR, "up", "maint"),
        line(44 * HOUR + 1, "warm", "maint"),
        *run("maint", "m1", 44 * HOUR, 9.0, 44.5 * HOUR, "exit", memory_bytes=GIB // 2),
    ]
    lines = [*blog, *first, *second, *maint]
    return sorted(lines, key=lambda text: json.loads(text)["time"])


def synthetic(projects: int, days: int = 30) -> list[str]:
    """A fleet by formula: most nap, some are busy, a few crash, run out of memory or start slowly."""
    lines: list[str] = []
    for number in range(projects):
        name = f"{('shop', 'blog', 'wiki', 'api', 'docs', 'intranet-forms-archive')[number % 6]}-{number}"
        if number % 9 == 8:
            continue  # never used
        a_day = 1 + (number * 7) % 11
        for day in range(number % 4, days):
            if (day + number) % 7 in (5, 6) and number % 3:
                continue  # week-ends
            lines += _a_day(name, number, day, a_day)
    return sorted(lines, key=lambda text: json.loads(text)["time"])


def _a_day(name: str, number: int, day: int, count: int) -> list[str]:
    lines: list[str] = []
    memory = (60 + (number * 37) % 400) << 20
    start = (0.08, 0.3, 0.6, 1.4, 2.2, 0.2, 7.5)[number % 7] * (1 + (day % 5) / 10)
    for turn in range(count):
        begin = day * DAY + 7 * HOUR + turn * HOUR + (number * 613) % 1800
        length = 600.0 + (number * 97 + turn * 331) % 1500
        invocation = f"{number:x}-{day:x}-{turn:x}"
        faulty = (number * 31 + day * 17 + turn) % 97 == 0
        reason = ("oom" if number % 2 else "crash") if faulty else "idle"
        more: dict[str, Any] = {
            "memory_bytes": memory,
            "bytes_in": 1e5 * turn,
            "bytes_out": 1e6 * (number + turn),
        }
        if faulty:
            more |= {
                "exit": "killed by SIGKILL" if number % 2 else "exit status 1",
                "memory_peak_bytes": 2 * memory,
            }
        more["idle_seconds"] = 300.0
        lines += run(name, invocation, begin, start, begin + length, reason, **more)
        if faulty:
            again = begin + length + 1
            lines += run(
                name, f"{invocation}-a", again, start, again + 400, memory_bytes=memory, idle_seconds=300.0
            )
    return lines
