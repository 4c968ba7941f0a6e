"""The local socket: one JSON line for another."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from projctl_agent import status
from projctl_agent.bus import UnitRow
from projctl_agent.fleet import project_states
from projctl_agent.idle import Decision, Observation, Policy, begin, decide
from projctl_agent.lifecycle import Totals

if TYPE_CHECKING:
    from pathlib import Path


def ask(path: Path, request: bytes) -> dict[str, Any]:
    async def projects() -> dict[str, dict[str, Any]]:
        return {"web": status.describe("asleep", None, None, 0.0)}

    async def work() -> bytes:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        async with await status.serve(listener, projects):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(request)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer

    answer = asyncio.run(work())
    assert answer.endswith(b"\n")
    assert answer.count(b"\n") == 1
    loaded: dict[str, Any] = json.loads(answer)
    return loaded


def test_status(tmp_path: Path) -> None:
    web = {
        "state": "asleep", "idle_seconds": None, "memory_bytes": None, "starts": 0, "reason": None,
        "would_stop_at": None,
    }  # fmt: skip
    assert ask(tmp_path / "s", b'{"get":"status"}\n') == {"version": 1, "projects": {"web": web}}


@pytest.mark.parametrize(
    "request_",
    [b"", b"\n", b"{\n", b"[]\n", b'{"get":"secrets"}\n', b"\xff\n", b"[" * 4000 + b"\n", b"a" * 9000],
)
def test_other_requests_are_refused(tmp_path: Path, request_: bytes) -> None:
    assert set(ask(tmp_path / "s", request_)) == {"version", "error"}


def test_a_project_ended_by_its_cap_is_asleep() -> None:
    assert status.describe("failed", Totals(last_reason="max_runtime"), None, 0.0)["state"] == "asleep"
    assert status.describe("failed", Totals(last_reason="crash"), None, 0.0)["state"] == "failed"


def row(name: str, active: str, sub: str = "") -> UnitRow:
    return UnitRow(name, "", "loaded", active, sub, "", "/", 0, "", "/")


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([row("projctl-a.socket", "active")], "asleep"),
        ([row("projctl-a.socket", "inactive"), row("projctl-a.service", "inactive")], "down"),
        ([row("projctl-a.socket", "active"), row("projctl-a.service", "active")], "running"),
        (
            [row("projctl-a.socket", "active"), row("projctl-a.service", "activating", "auto-restart")],
            "failed",
        ),
        ([row("projctl-a.socket", "active"), row("projctl-a.service", "activating", "start")], "starting"),
        ([row("projctl-a.socket", "inactive"), row("projctl-a.admin.socket", "active")], "asleep"),
        ([row("projctl-a.socket", "active"), row("projctl-a.backend.service", "active")], "asleep"),
    ],
)
def test_states(rows: list[UnitRow], state: str) -> None:
    others = [row("projctl-agent.service", "active"), row("projctl-agent-metrics.socket", "active")]
    assert project_states([*others, *rows]) == {"a": state}


def test_the_time_of_the_stop_is_told() -> None:
    observation = Observation(100.0, 0, True, frozenset(), None, 0, None)
    decision = decide(Policy(60.0, 0.0), begin(100.0, observation), 110.0)
    assert isinstance(decision, Decision)
    assert decision.would_stop_at == 160.0
