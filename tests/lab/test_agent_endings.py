"""What is told of runs that end, and whether something of them stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDED = "e1e86dd2a61d1600d5a55b3ee7b3e42f"
IDLE_STOP = "d649923182a64247b971172f532f4fa7"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def figures(stage: Stage, invocation: str, message: str = ENDED) -> dict[str, float]:
    """The numbers of the one entry about this run."""
    wait_for(lambda: stage.entries(MESSAGE_ID=message, PROJCTL_INVOCATION_ID=invocation), "its figures")
    (entry,) = stage.entries(MESSAGE_ID=message, PROJCTL_INVOCATION_ID=invocation)
    assert entry["_SYSTEMD_UNIT"] == "projctl-agent.service"
    names = ("UPTIME_SECONDS", "IDLE_SECONDS", "CPU_SECONDS", "MEMORY_BYTES", "BYTES_IN", "BYTES_OUT")
    return {name.lower(): float(entry[f"PROJCTL_{name}"]) for name in names}


def test_a_run_that_ends_leaves_its_figures(stage: Stage) -> None:
    stage.project("told", "5001", IdleStopSec="100")
    counted = (0, 0)
    for path, end in (("/", "stop"), ("/slow?seconds=0.5", "stop"), ("/crash", "crash")):
        stage.get(5001)
        invocation = stage.invocation("told")
        wait_for(lambda: stage.status()["told"]["would_stop_at"], "the first look")
        stage.get(5001, path)
        if end == "stop":
            stage.systemctl("stop", "projctl-told.service")
        found = figures(stage, invocation)
        now = tuple(stage.show("projctl-told.socket", "IPIngressBytes", "IPEgressBytes"))
        assert (found["bytes_in"], found["bytes_out"]) == (now[0] - counted[0], now[1] - counted[1])
        assert found["bytes_in"] > 0
        counted = now[0], now[1]
        assert 0 < found["cpu_seconds"] < 10
        assert found["memory_bytes"] > 1_000_000
        assert 0 < found["idle_seconds"] <= found["uptime_seconds"] < 30


def test_an_idle_stop_tells_the_figures_once(stage: Stage) -> None:
    stage.project("once", "5002")
    stage.get(5002)
    invocation = stage.invocation("once")
    stage.wait_until_asleep("once")
    found = figures(stage, invocation, IDLE_STOP)
    assert found["bytes_in"] == stage.show("projctl-once.socket", "IPIngressBytes")[0]
    # Another run of another project is told later than this one would have been.
    stage.project("after", "5003", IdleStopSec="100")
    stage.get(5003)
    later = stage.invocation("after")
    wait_for(lambda: stage.status()["after"]["would_stop_at"], "the first look")
    stage.systemctl("stop", "projctl-after.service")
    figures(stage, later)
    assert stage.entries(MESSAGE_ID=ENDED, PROJCTL_INVOCATION_ID=invocation) == []
