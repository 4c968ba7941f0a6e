"""Time to the first byte of a frozen server, beside the same one warm and cold."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

import table
from latency import PROJECTS, first_byte
from steps import apply, projctl

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, COLD = 25, 3
#: Longer than a server and those that wake it need to come to rest.
REST = 0.05
RELAY = """
import socket, sys
helper = socket.socket(socket.AF_UNIX)
helper.connect("/run/projctl/helper.sock")
answers = helper.makefile()
for line in sys.stdin:
    helper.sendall(line.encode())
    answer = answers.readline()
    print(answer, end="", flush=True)
    if "done" in answer:
        print(answers.readline(), end="", flush=True)
"""


def run() -> None:
    """time from connect to the first byte: cold, warm and frozen, in milliseconds"""
    with Lab.boot() as lab:
        projctl(lab, "agent", "install")
        projects = {name: {**project, "idle": "never"} for name, project in PROJECTS.items()}
        apply(lab, projects)
        pipe = subprocess.PIPE
        with lab.popen(["/usr/bin/python3", "-c", RELAY], stdin=pipe, stdout=pipe) as relay:
            try:
                rows = [measure(lab, relay, name, project["listen"]) for name, project in projects.items()]
            finally:
                relay.kill()
        head = (
            "server",
            "cold p50",
            "warm p50",
            "warm p95",
            "frozen p50",
            "frozen p95",
            "frozen p50 / warm p50",
        )
        table.show(head, rows)


def measure(lab: Lab, relay: subprocess.Popen[str], name: str, port: int) -> tuple[str, ...]:
    """A row: the three kinds in turn, so that whatever else the machine does meets all of them."""
    cold = times(COLD, lambda: projctl(lab, "stop", name), lambda: first_byte(lab, port))
    warm, frozen = [], []
    for _ in range(ROUNDS):
        warm += times(1, lambda: time.sleep(REST), lambda: first_byte(lab, port))
        time.sleep(REST)
        freeze(relay, name)
        time.sleep(REST)
        frozen.append(first_byte(lab, port))
        assert relay.stdout
        assert json.loads(relay.stdout.readline())["reason"] == "connection"
    middle = [statistics.median(each) for each in (cold, warm, frozen)]
    late = [statistics.quantiles(each, n=20)[-1] for each in (warm, frozen)]
    shown = (middle[0], middle[1], late[0], middle[2], late[1])
    return (name, *(f"{1000 * value:.2f}" for value in shown), f"{middle[2] / middle[1]:.2f}")


def freeze(relay: subprocess.Popen[str], name: str) -> None:
    """Freeze it; what still works on the last request is left to that for a while."""
    assert relay.stdin
    assert relay.stdout
    for _ in range(20):
        relay.stdin.write(json.dumps({"freeze": f"projctl-{name}.service"}) + "\n")
        relay.stdin.flush()
        said = json.loads(relay.stdout.readline())
        if "done" in said:
            return
        time.sleep(REST)
    raise AssertionError(f"{name}: {said}")


def times(count: int, before: Callable[[], object], what: Callable[[], float]) -> list[float]:
    """What was measured, each time after something else."""
    measured = []
    for _ in range(count):
        before()
        measured.append(what())
    return measured
