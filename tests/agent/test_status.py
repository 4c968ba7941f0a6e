"""The local socket: one JSON line for another."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from projctl_agent import failure, local, status
from projctl_agent.activity import Target
from projctl_agent.bus import UnitRow
from projctl_agent.failure import Failure
from projctl_agent.freezing import Freezing
from projctl_agent.holds import Hold
from projctl_agent.idle import Decision, Observation, Policy, Track, begin, decide, look
from projctl_agent.lifecycle import Totals
from projctl_agent.orders import Orders
from projctl_agent.settings import Settings
from projctl_agent.sockdiag import Listeners
from projctl_agent.survey import survey
from projctl_agent.usage import Bytes
from projctl_agent.watch import Glance, Watch

if TYPE_CHECKING:
    from pathlib import Path

QUIET = Observation(100.0, 0, 0, True, frozenset(), None, None, 0, 0, None)
FAILURE = Failure(result="exit-code", code=1, status=3, said="", restarts=5, next_start=20.0)


def ask(path: Path, request: bytes) -> dict[str, Any]:
    async def projects(_: local.Request) -> bytes:
        return local.line(projects={"web": status.describe("asleep", None, None, None, 0.0)})

    async def work() -> bytes:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        async with await local.serve(
            listener, {("get", "status"): local.Answer(projects, frozenset({"key"}))}
        ):
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
        "state": "asleep", "idle_seconds": None, "activity": None, "memory_bytes": None, "starts": 0,
        "reason": None, "would_stop_at": None, "hold": None, "signals": None, "left_over": [],
    }  # fmt: skip
    assert ask(tmp_path / "s", b'{"get":"status"}\n') == {"version": 1, "projects": {"web": web}}


@pytest.mark.parametrize(
    "request_",
    [b"", b"\n", b"{\n", b"[]\n", b'{"get":"secrets"}\n', b"\xff\n", b"[" * 4000 + b"\n", b"a" * 9000],
)
def test_other_requests_are_refused(tmp_path: Path, request_: bytes) -> None:
    assert set(ask(tmp_path / "s", request_)) == {"version", "error"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"{\n", "must be one line of JSON"),
        (b'{"get":"secrets"}\n', 'unknown request, must be one of: {"get":"status"}'),
        (b'{"order":"status"}\n', 'unknown request, must be one of: {"get":"status"}'),
        (b'{"get":"status","kez":1}\n', 'unknown key "kez", must be one of: key'),
        (b'{"get":"status","key":1}\n', None),
    ],
)
def test_what_is_refused_is_told_why(tmp_path: Path, request_: bytes, said: str | None) -> None:
    assert ask(tmp_path / "s", request_).get("error") == said


def test_a_project_ended_by_its_cap_is_asleep() -> None:
    shown = status.describe("failed", Totals(last_reason="max_runtime"), None, FAILURE, 0.0)
    assert (shown["state"], shown["reason"]) == ("asleep", "max_runtime")


def watch(track: Track, policy: Policy, now: float) -> Watch:
    settings = Settings("web", "projctl-web.service", "projctl-web.service", (), 60.0, 0.0, 0.02, 3600.0)
    freezing = Freezing(Orders(None), settings, "a" * 32)
    target = Target((), Listeners(()), (), "/none")
    return Watch(settings, "a" * 32, 0.0, target, freezing, track, decide(policy, track, now))


@pytest.mark.parametrize(
    ("state", "uptime", "reason"),
    [("running", 0.0, None), ("running", 900.0, "min_uptime"), ("stopping", 900.0, None)],
)
def test_what_runs_needs_no_reason(state: str, uptime: float, reason: str | None) -> None:
    """How its last run ended says nothing of a server that runs."""
    watched = watch(begin(100.0, QUIET), Policy(60.0, uptime), 170.0)
    shown = status.describe(state, Totals(last_reason="idle"), watched, None, 170.0)
    assert (shown["reason"], shown["activity"], shown["idle_seconds"]) == (reason, "start", 70.0)
    assert shown["would_stop_at"] is not None


@pytest.mark.parametrize("state", ["asleep", "down", None])
def test_what_does_not_run_tells_how_it_ended(state: str | None) -> None:
    assert status.describe(state, Totals(last_reason="idle"), None, None, 0.0)["reason"] == "idle"
    assert status.describe(state, None, None, None, 0.0)["reason"] is None


def test_a_failure_is_explained() -> None:
    assert status.describe("failed", Totals(last_reason="crash"), None, None, 0.0)["reason"] == "crash"
    shown = status.describe("failed", Totals(last_reason="crash"), None, FAILURE, 16.0)
    assert shown["reason"] == "crash: exit status 3, 6 times, next start in 4 s"


@pytest.mark.parametrize(
    ("changes", "reason", "text"),
    [
        ({"restarts": 0}, "crash", "crash: exit status 3, next start in 4 s"),
        ({"next_start": None}, "crash", "crash: exit status 3"),
        ({"next_start": 10.0}, "crash", "crash: exit status 3, 6 times, next start in 0 s"),
        ({"next_start": None}, "idle", "crash: exit status 3"),
        ({"next_start": None, "status": 203}, "crash", "crash: cannot run its program (exit status 203)"),
        (
            {"next_start": None, "result": "signal", "code": 2, "status": 9}, "",
            "crash: killed by SIGKILL",
        ),
        (
            {"next_start": None, "result": "core-dump", "code": 3, "status": 11}, "",
            "crash: killed by SIGSEGV, core dumped",
        ),
        ({"next_start": None, "result": "signal", "code": 2, "status": 99}, "", "crash: killed by signal 99"),
        ({"next_start": None, "result": "timeout"}, "start_timeout", "start_timeout: not ready in time"),
        ({"next_start": None, "result": "timeout", "code": 0}, "", "start_timeout: not ready in time"),
        ({"next_start": None, "result": "oom-kill"}, "", "oom: out of memory"),
        ({"next_start": None, "result": "strange", "code": 0}, "", "crash: strange"),
        (
            {"next_start": None, "said": "not ready within 2 s: / on 127.0.0.1:1 answers 503"}, "crash",
            "crash: not ready within 2 s: / on 127.0.0.1:1 answers 503",
        ),
    ],
)  # fmt: skip
def test_explanations(changes: dict[str, Any], reason: str, text: str) -> None:
    assert failure.explain(replace(FAILURE, **changes), reason, 16.0) == text


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
        (
            [row("projctl-a.socket", "active"), row("projctl-a.backend.service", "activating", "start-post")],
            "starting",
        ),
        ([row("projctl-a.socket", "active"), row("projctl-a.backend.service", "failed", "failed")], "failed"),
        (
            [
                row("projctl-a.service", "failed"),
                row("projctl-a.backend.service", "activating", "auto-restart"),
            ],
            "failed",
        ),
        ([row("projctl-a.service", "active"), row("projctl-a.backend.service", "deactivating")], "running"),
        ([row("projctl-a.socket", "failed"), row("projctl-a.service", "inactive")], "failed"),
    ],
)
def test_states(rows: list[UnitRow], state: str) -> None:
    others = [row("projctl-agent.service", "active"), row("projctl-agent-metrics.socket", "active")]
    found = survey([*others, *rows])
    assert found.states == {"a": state}
    assert set(found.failed) == ({"a"} if state == "failed" else set())


def test_a_failed_socket_is_what_failed() -> None:
    found = survey([row("projctl-a.socket", "failed"), row("projctl-a.service", "failed")])
    assert found.failed == {"a": "projctl-a.socket"}
    why = replace(FAILURE, result="trigger-limit-hit", socket=True)
    assert failure.explain(why, "crash", 0.0).startswith("socket: the server was started too often without")
    why = replace(why, result="strange")
    assert failure.explain(why, "crash", 0.0) == "socket: strange, 6 times, opens again in 20 s"
    assert failure.explain(replace(why, next_start=None), "crash", 0.0) == "socket: strange"


def test_each_instance_has_its_state_and_the_server_is_what_failed() -> None:
    found = survey(
        [
            row("projctl-a@0.socket", "active"),
            row("projctl-a.admin@0.socket", "inactive"),
            row("projctl-a@1.socket", "active"),
            row("projctl-a@1.service", "active"),
            row("projctl-a@2.service", "failed"),
            row("projctl-a.backend@2.service", "failed"),
        ]
    )
    assert found.states == {"a@0": "asleep", "a@1": "running", "a@2": "failed"}
    assert found.failed == {"a@2": "projctl-a.backend@2.service"}


def test_the_time_of_the_stop_is_told() -> None:
    decision = decide(Policy(60.0, 0.0), begin(100.0, QUIET), 110.0)
    assert isinstance(decision, Decision)
    assert decision.would_stop_at == 160.0


def test_a_look_for_the_answer_tells_every_signal() -> None:
    now = replace(
        QUIET, taken=110.0, connections=frozenset({1, 2}), received=2.5, sent=4.0, queue=3,
        cpu_seconds=1.5, program_held=111.0,
    )  # fmt: skip
    policy = Policy(60.0, 5.0, 0.02, 30.0, 200.0)
    track, decision = look(policy, begin(100.0, replace(QUIET, cpu_seconds=1.4)), now)
    glance = Glance(policy, now, Bytes(7, 9), track, decision)
    hold = Hold(1000, 50.0, None)
    shown = status.describe("running", None, None, None, 110.0, hold, glance)
    assert shown["signals"] == {
        "bytes_in": 7, "bytes_out": 9, "connections": 2, "received_seconds": 2.5, "sent_seconds": 4.0, "waiting": 3,
        "cpu_percent": 1.0, "program_held_seconds": 0.0, "idle_stop_seconds": 60.0, "min_uptime_seconds": 5.0,
        "hold_connections_seconds": 30.0, "busy_cpu_percent": 2.0,
    }  # fmt: skip
    assert shown["hold"] == {"uid": 1000, "since": 50.0, "until": None}
    assert (shown["activity"], shown["reason"], shown["idle_seconds"]) == ("queue", "hold", 0.0)
    assert status.describe("asleep", None, None, None, 110.0)["signals"] is None
