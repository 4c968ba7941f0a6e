"""What other users write into the journal changes neither `projctl info` nor `projctl logs`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, projctl, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDED, FAILED = "7ad2d189f7e94e70a38c781354912448", "d9b373ed55a64feb8242e02dbe79a49c"
IDLE_STOP = "d649923182a64247b971172f532f4fa7"
FORGED = "pwned by nobody"
SEND = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(sys.stdin.buffer.read(), "/run/systemd/journal/socket")
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def entries(unit: str) -> list[str]:
    """One entry as systemd writes it, one as the agent does, and one whose fields are repeated."""
    said = f"MESSAGE={FORGED}\nPRIORITY=5\nPROJCTL_PROJECT=shop\n"
    ended = f"{said}UNIT={unit}\nUSER_UNIT={unit}\nUNIT_RESULT=exit-code\n"
    idle = f"{said}PROJCTL_EVENT=idle-stop\nPROJCTL_UNIT={unit}\nMESSAGE_ID={IDLE_STOP}\n"
    return [f"{ended}MESSAGE_ID={FAILED}\n", idle, f"{ended}{idle}MESSAGE_ID={ENDED}\nUNIT=other.service\n"]


def test_forged_entries_change_nothing(stage: Stage) -> None:
    apply(stage.lab, {"shop": server(listen=5001, idle="1s")})
    stage.get(5001)
    stage.wait_until_asleep("shop")
    asked = (("info", "shop", "--json", "-n", "100"), ("info", "shop"), ("logs", "shop"))
    wait_for(lambda: "not used for" in projctl(stage.lab, "info", "shop").stdout, "the stop in the journal")
    stage.lab.run(["journalctl", "--sync"])
    before = [projctl(stage.lab, *words).stdout for words in asked]
    assert "Started projctl-shop.service" in before[2] and "not used for" in before[2]
    for unit in ("projctl-shop.service", "projctl-shop.socket"):
        for text in entries(unit):
            stage.lab.run(["/usr/bin/python3", "-c", SEND], input=text, user="nobody")
    wait_for(lambda: len(stage.entries(MESSAGE=FORGED)) == 6, "the forged entries in the journal")
    assert [projctl(stage.lab, *words).stdout for words in asked] == before
    assert "not used for" in json.loads(before[0])["last_stop"]


def test_what_a_project_writes_cannot_drive_the_terminal(stage: Stage) -> None:
    run = ["/bin/sh", "-c", 'printf "evil\\033[2Jtext\\n"; exec sleep 1000']
    apply(stage.lab, {"loud": server(run=run, listen=5002)})
    stage.systemctl("start", "--no-block", "projctl-loud.service")
    # journalctl gives what is no plain text as numbers.
    wait_for(lambda: str([*b"evil"])[1:-1] in str(stage.entries(_SYSTEMD_UNIT="projctl-loud.service")), "it")
    for words in (("info", "loud"), ("logs", "loud")):
        assert "\x1b" not in projctl(stage.lab, *words).stdout
