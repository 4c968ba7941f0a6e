"""What happens at the worst moments: between what the agent has decided and what it orders."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_stage import AGENT, Stage, install_agent, wait_for
from steps import apply, server

if TYPE_CHECKING:
    from projctl.lab import Lab

ALTERED = Path(__file__).with_name("altered_agent.py")
#: Where no sandbox of the agent hides it, wherever this directory lies.
INSIDE = "/usr/local/lib/altered_agent.py"


def begin(lab: Lab, project: dict[str, Any], *alteration: str) -> Stage:
    """An agent altered so, and a project."""
    stage = install_agent(lab)
    lab.write(INSIDE, ALTERED.read_text())
    words = " ".join([sys.executable, INSIDE, *alteration])
    stage.write(f"{AGENT}.d/altered.conf", f"[Service]\nExecStart=\nExecStart={words}\n")
    stage.systemctl("daemon-reload")
    stage.systemctl("restart", AGENT)
    apply(lab, {"web": project})
    return stage


def test_an_agent_that_ends_between_its_decision_and_the_stop_has_stopped_nothing(fresh_lab: Lab) -> None:
    stage = begin(fresh_lab, server(listen=5001, idle="2s"), "dies")
    before = stage.get(5001)
    wait_for(lambda: stage.entries(PROJCTL_EVENT="idle-stop"), "its decision")
    wait_for(lambda: stage.show(AGENT, "NRestarts") == [1], "another agent")
    used = time.time()
    assert stage.get(5001) == before
    stage.wait_until_asleep("web")
    first, second = stage.entries(PROJCTL_EVENT="idle-stop")
    assert first["_PID"] != second["_PID"]
    assert int(second["__REALTIME_TIMESTAMP"]) / 1e6 >= used + 2
    wait_for(lambda: stage.stops("web") == {"idle": 1}, "one stop counted")
    assert stage.starts("web") == 1


def test_a_request_that_was_read_right_before_the_freeze_is_answered(fresh_lab: Lab) -> None:
    """No descriptor tells of it any more."""
    policy = {"freeze": "2s", "stop": "never"}
    stage = begin(fresh_lab, server(listen=5001, idle=policy), "late", "5001")
    stage.get(5001)
    wait_for(lambda: stage.entries(_SYSTEMD_UNIT=AGENT, MESSAGE="answered"), "the answer")
    assert [entry["PROJCTL_REASON"] for entry in stage.entries(PROJCTL_EVENT="thawed")] == ["use"]
    wait_for(lambda: stage.status()["web"]["state"] == "frozen", "it frozen when nobody uses it")
