"""The end of a project that systemd itself holds for out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_stage import SERVER, Stage, install_agent, wait_for

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

OOMD_KILL = "d989611b15e44c9dbf31e3c81256e4ed"
#: What systemd-oomd does to a control group: it counts its kills in these attributes, for systemd to see.
KILL = """
import os, pathlib, signal, sys
group, count, *names = "/sys/fs/cgroup" + sys.argv[1], *(sys.argv[2:] or ["1"])
os.setxattr(group, "user.oomd_ooms", count.encode())
os.setxattr(group, "user.oomd_kill", count.encode())
for pid in pathlib.Path(group, "cgroup.procs").read_text().split():
    if not names or pathlib.Path("/proc", pid, "comm").read_text().strip() in names:
        os.kill(int(pid), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def kill(stage: Stage, unit: str, *names: str) -> None:
    """Kill the processes of a unit that have one of these names, all of them without any."""
    group = stage.systemctl("show", "-P", "ControlGroup", unit)
    stage.lab.run(["/usr/bin/python3", "-c", KILL, group, "1", *names])


def test_a_server_that_lost_a_worker_and_went_on_is_idle_in_the_end(stage: Stage) -> None:
    run = f"ExecStart=\nExecStart=/bin/sh -c 'sleep 1000 & exec {SERVER}'"
    stage.project("loser", "5001", service=f"OOMPolicy=continue\n{run}", IdleStopSec="3")
    stage.get(5001)
    kill(stage, "projctl-loser.service", "sleep")
    assert stage.get(5001)
    stage.wait_until_asleep("loser")
    assert stage.entries(MESSAGE_ID=OOMD_KILL, UNIT="projctl-loser.service")
    wait_for(lambda: stage.stops("loser") == {"idle": 1}, "the end counted")


@pytest.mark.parametrize("policy", ["continue", "stop", "kill"])
def test_out_of_memory_is_the_reason(stage: Stage, policy: str) -> None:
    """The lab has no memory controller, so that the kill is systemd-oomd's; the verdict is systemd's own."""
    name = f"hungry-{policy}"
    stage.project(name, f"/run/{name}.sock", service=f"OOMPolicy={policy}", IdleStopSec="infinity")
    unit = f"projctl-{name}.service"
    stage.systemctl("start", unit)
    kill(stage, unit)
    wait_for(lambda: stage.state(name) == "failed", "its end")
    assert len(stage.entries(MESSAGE_ID=OOMD_KILL, UNIT=unit)) == 1
    wait_for(lambda: stage.stops(name) == {"oom": 1}, "the end counted")
    assert (stage.status()[name]["reason"] or "").startswith("oom")
