"""One sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from projctl.status import ProjectStatus
from projctl.why import sentence

SIGNALS = {
    "bytes_in": 0, "bytes_out": 0, "connections": 0, "received_seconds": None, "sent_seconds": None, "waiting": 0,
    "cpu_percent": 0.1, "program_held_seconds": None, "idle_stop_seconds": 3600.0, "min_uptime_seconds": 0.0,
    "hold_connections_seconds": 3600.0, "busy_cpu_percent": 2.0,
}  # fmt: skip
RUNS = ProjectStatus(
    "shop", "running", (), 7, None, None, 60.0, 5.0, 1, "projctl-shop.service", activity="bytes",
    would_stop_at=100.0, signals=SIGNALS,
)  # fmt: skip
ASLEEP = ProjectStatus("shop", "asleep", (), None, None, None, None, None, 1, "projctl-shop.service")
UNUSED = "not used for 5 s (last use: bytes on its sockets)"
FOREVER = {"uid": 0, "since": 1.0, "until": None}


def why(project: ProjectStatus) -> str:
    return sentence(project, lambda uid: f"user{uid}", lambda moment: f"T{moment:g}")


def signals(**changes: Any) -> dict[str, Any]:
    return {"signals": SIGNALS | changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            signals(connections=1, received_seconds=12.0, sent_seconds=300.0),
            "1 connection, last byte 12 s ago; would stop at T100",
        ),
        (
            signals(connections=2, sent_seconds=7500.0),
            "2 connections, last byte 2 h 5 min ago, too silent to count; would stop at T100",
        ),
        (signals(connections=3), "3 connections; would stop at T100"),
        (
            signals(connections=1, sent_seconds=9e9, hold_connections_seconds=None) | {"would_stop_at": None},
            "1 connection, last byte 104166 d 16 h ago; does not stop while that lasts",
        ),
        (signals(waiting=1), "1 connection waiting; would stop at T100"),
        (signals(cpu_percent=35.4), "busy with 35 % of a CPU; would stop at T100"),
        (signals(cpu_percent=35.4, busy_cpu_percent=None), f"{UNUSED}; would stop at T100"),
        (signals(program_held_seconds=0.0), "held awake by a program of its own; would stop at T100"),
        ({}, f"{UNUSED}; would stop at T100"),
        ({"reason": "min_uptime"}, f"kept up by its minimum uptime, {UNUSED}; would stop at T100"),
        (
            {"reason": "warm", "would_stop_at": None},
            f"kept up by its warm hours, {UNUSED}; does not stop while that lasts",
        ),
        (
            {"hold": FOREVER, "would_stop_at": None, "reason": "hold"},
            "held awake by user0 until it is released; does not stop before that",
        ),
        ({"hold": FOREVER | {"until": 80.0}}, "held awake by user0 until T80; would stop at T100"),
        (signals(idle_stop_seconds=None) | {"would_stop_at": None},
         f"{UNUSED}; never stops for being idle"),
        (
            {"signals": None, "would_stop_at": None, "idle_seconds": None, "activity": None},
            "nothing is known of its use; no agent tells when it stops",
        ),
    ],
)  # fmt: skip
def test_why_it_runs(changes: dict[str, Any], said: str) -> None:
    assert why(replace(RUNS, **changes)) == f"running: {said}"


def test_why_it_is_frozen() -> None:
    said = f"frozen: {UNUSED}; goes on at the first byte; would stop at T100"
    assert why(replace(RUNS, state="frozen")) == said


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("asleep", "idle", "nobody used it; the next connection starts it"),
        ("asleep", "lost", "its last run ended: lost; the next connection starts it"),
        ("asleep", None, "not started yet; the next connection starts it"),
        ("down", "manual", "no socket of it listens; projctl up shop opens them"),
        ("failed", "crash: exit status 3", "crash: exit status 3; see projctl logs shop"),
        ("failed", None, "systemd does not tell why; see projctl logs shop"),
        ("starting", None, "connections wait until it is ready"),
        ("stopping", None, "connections wait and start it again"),
    ],
)
def test_why_it_does_not_run(state: str, reason: str | None, said: str) -> None:
    assert why(replace(ASLEEP, state=state, reason=reason)) == f"{state}: {said}"
    held = why(replace(ASLEEP, state=state, reason=reason, hold=FOREVER))
    assert held == f"{state}: {said}; once it runs it is held awake by user0 until it is released"
