"""What comes between the decision to stop a project and the stop: a look more finds it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent_stage import Stage, wait_for

if TYPE_CHECKING:
    from projctl.lab import Lab

IDLE = 2


def test_use_after_the_decision_and_before_the_stop_keeps_it_up(fresh_lab: Lab) -> None:
    stage = Stage(fresh_lab)
    stage.project("web", "5001", IdleStopSec=str(IDLE), MinUptimeSec="0")
    first = stage.get(5001)
    script = Path(__file__).with_name("last_look.py")
    words = [sys.executable, str(script), "projctl-web.service", "http://127.0.0.1:5001/"]
    used, ordered, decided = fresh_lab.run(words).stdout.split()
    # Decided twice: the first time it was used right then, and had its whole idle time after that.
    assert decided == "2"
    assert float(ordered) - float(used) >= IDLE
    wait_for(
        lambda: stage.systemctl("is-active", "projctl-web.service", check=False) == "inactive", "the stop"
    )
    assert stage.get(5001) != first
