"""What `projctl logs` shows of a project, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import ENVIRONMENT, apply, projctl, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

LOUD = (
    "i=0; while [ $i -lt 1200 ]; do echo line $i; i=$((i+1)); done; echo '<3>it burns' >&2; exec sleep 1000"
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        stage = install_agent(lab)
        apply(
            lab,
            {
                "loud": server(run=["/bin/sh", "-c", LOUD], listen=5001),
                "still": server(listen=5002),
                "mute": server(listen=5003),
            },
        )
        stage.systemctl("start", "projctl-loud.service")
        wait_for(lambda: "it burns" in lines(stage, "loud", "-n", "5")[-1], "all it writes")
        yield stage


def lines(stage: Stage, *words: str) -> list[str]:
    return projctl(stage.lab, "logs", *words).stdout.splitlines()


def test_the_newest_lines(stage: Stage) -> None:
    assert len(lines(stage, "loud")) == 50
    shown = lines(stage, "loud", "-n", "1000")
    assert len(shown) == 1000
    assert [line.rpartition("]: ")[2] for line in shown[-3:]] == ["line 1198", "line 1199", "it burns"]
    assert len(lines(stage, "loud", "--since", "-1h")) > 1200
    assert lines(stage, "loud", "--until", "-1h") == ["-- No entries --"]


def test_what_is_looked_for(stage: Stage) -> None:
    assert [line.rpartition("]: ")[2] for line in lines(stage, "loud", "--grep", "line 11[0-9]$")] == (
        [f"line {number}" for number in range(110, 120)]
    )
    (worst,) = lines(stage, "loud", "--priority", "err")
    assert worst.endswith("it burns")
    (found,) = [json.loads(line) for line in lines(stage, "loud", "--json", "-n", "1")]
    assert found["MESSAGE"] == "it burns"
    refused = projctl(stage.lab, "logs", "loud", "--priority", "worst", check=False)
    assert refused.returncode == 1 and "Unknown log level" in refused.stderr


def test_all_projects(stage: Stage) -> None:
    stage.get(5002)
    stage.lab.run(["journalctl", "--sync"])
    shown = "\n".join(lines(stage, "--all", "--since", "-1h"))
    assert "Started projctl-loud.service" in shown and "Started projctl-still.service" in shown
    assert "line 1199" in shown


@pytest.mark.parametrize("words", [[], ["loud", "--all"]])
def test_one_project_or_all(stage: Stage, words: list[str]) -> None:
    refused = projctl(stage.lab, "logs", *words, check=False)
    assert refused.returncode == 2
    assert "must be given the name of a project, or --all" in refused.stderr


def test_a_silent_project_is_no_wait(stage: Stage) -> None:
    begin = time.monotonic()
    projctl(stage.lab, "logs", "mute", timeout=20)
    assert time.monotonic() - begin < 20
    unknown = projctl(stage.lab, "logs", "nobody", check=False)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert 'cannot find the project "nobody"' in unknown.stderr


@pytest.mark.parametrize("end", ["interrupt", "close"])
def test_following_ends_quietly(stage: Stage, end: str) -> None:
    words = [sys.executable, "-m", "projctl", "logs", "loud", "-f", "-n", "1"]
    pipe = subprocess.PIPE
    with stage.lab.popen(words, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as process:
        assert process.stdout and process.stderr
        assert "it burns" in str(process.stdout.readline())
        if end == "interrupt":
            process.send_signal(signal.SIGINT)
        else:
            process.stdout.close()
        process.wait(10)
        assert not process.stderr.read()
