"""Events out of the journal, as the command line and programs get them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import ENVIRONMENT

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = [sys.executable, "-m", "projctl_agent", "events"]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def events(stage: Stage, *words: str) -> list[dict[str, Any]]:
    """What the agent's program prints, as root and with no agent asked."""
    stage.lab.run(["journalctl", "--sync"])
    text = stage.lab.run([*WORDS, "--json", *words], env=ENVIRONMENT).stdout
    return [json.loads(line) for line in text.splitlines()]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in found]


def test_the_life_of_a_run(stage: Stage) -> None:
    stage.project("web", "5001", MinUptimeSec="0")
    stage.get(5001)
    invocation = stage.invocation("web")
    stage.wait_until_asleep("web")
    assert stage.get(5001, "/crash") == ""
    stage.wait_until_asleep("web")
    wait_for(lambda: "bytes_out" in events(stage)[-1], "what the run that crashed used")
    first, ready, idle_stop, stopping, stopped, *others = events(stage, "--project", "web")
    assert names([first, ready, idle_stop, stopping, stopped]) == (
        ["starting", "ready", "idle_stop", "stopping", "stopped"]
    )
    assert names(others) == ["starting", "ready", "crashed"]
    for event in (first, ready, idle_stop, stopping, stopped):
        assert (event["project"], event["instance"], event["unit"]) == ("web", None, "projctl-web.service")
        assert event["invocation"] == invocation
    assert ready["seconds"] > 0
    assert idle_stop["uptime_seconds"] >= idle_stop["idle_seconds"] >= 1
    assert (idle_stop["reason"], stopped["reason"], others[-1]["reason"]) == ("idle", "idle", "crash")
    assert others[-1]["exit"]
    assert stopped["cpu_seconds"] > 0 and others[-1]["cpu_seconds"] > 0
    assert stopped["bytes_in"] > 0
    assert stopped["uptime_seconds"] == pytest.approx(stopped["time"] - ready["time"], abs=0.05)
    assert events(stage, "--since", f"@{others[0]['time']}", "--project", "web") == others
    assert events(stage, "--until", f"@{stopped['time']}", "--project", "web")[-1] == stopped
    assert events(stage, "--project", "other") == []
    wait_for(lambda: stage.stops("web") == {"idle": 1, "crash": 1}, "the same in the metrics")


def test_following_goes_on_and_ends_with_its_reader(stage: Stage) -> None:
    stage.project("new", "5002", IdleStopSec="infinity")
    words = [*WORDS, "--follow", "--project", "new"]
    pipe = subprocess.PIPE
    with stage.lab.popen(words, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as process:
        assert process.stdout and process.stderr
        pid = stage.get(5002)
        assert " new starting" in str(process.stdout.readline())
        assert " new ready seconds=" in str(process.stdout.readline())
        assert stage.get(5002) == pid
        stage.systemctl("stop", "projctl-new.service")
        assert " new stopping" in str(process.stdout.readline())
        assert " new stopped manual " in str(process.stdout.readline())
        process.stdout.close()
        assert process.wait(10) == 0
        assert not process.stderr.read()


def test_who_may_not_read_the_journal_is_told(stage: Stage) -> None:
    done = stage.lab.run(WORDS, env=ENVIRONMENT, user="nobody", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("projctl-agent: cannot read the journal: ")
