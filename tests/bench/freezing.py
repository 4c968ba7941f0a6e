"""Time to the first byte of a server that was frozen for seconds, beside the same one cold, warm, and at rest."""

from __future__ import annotations

import random
import statistics
import time
from typing import TYPE_CHECKING

import table
from agent_stage import install_agent, wait_for
from latency import PROJECTS, first_byte
from steps import apply, projctl

from projctl.lab import Lab

if TYPE_CHECKING:
    from agent_stage import Stage

ROUNDS, COLD = 25, 9
#: Seconds without use until the agent freezes them, and that they are frozen then, at the least.
FREEZE, FROST = 1.0, 3.0
#: Longer than a server and those that wake it need to come to rest.
REST = 0.05
#: Each project has a twin that never freezes, and rests as long as the other one is frozen; how far its port is away.
TWIN, AWAY = "-rested", 100
KINDS = ("cold", "warm", "rested", "frozen")
#: What was measured of a project, in seconds, by kind.
Times = dict[str, list[float]]


def run() -> None:
    """time from connect to the first byte: cold, warm, rested for some seconds, frozen as long, in milliseconds"""
    with Lab.boot() as lab:
        stage = install_agent(lab)
        ports: dict[str, int] = {name: project["listen"] for name, project in PROJECTS.items()}
        freezing = {"idle": {"freeze": FREEZE, "stop": "never"}}
        twins = {
            f"{name}{TWIN}": {**project, "idle": "never", "listen": ports[name] + AWAY}
            for name, project in PROJECTS.items()
        }
        apply(lab, {name: {**project, **freezing} for name, project in PROJECTS.items()} | twins)
        found: dict[str, Times] = {name: {kind: [] for kind in KINDS} for name in ports}
        # In turn, so that whatever else the machine does meets all kinds.
        for number in range(ROUNDS):
            measure(stage, ports, found, cold=number < COLD)
        frosts = [frost for name in ports for frost in frosts_of(stage, name)]
        assert len(frosts) == ROUNDS * len(ports), "a frost that no connection ended"
    head = (
        "server", "cold p50", "warm p50", "rested p50", "rested p95", "frozen p50", "frozen p95",
        "frozen p50 / warm p50", "frozen p50 / rested p50",
    )  # fmt: skip
    table.show(head, [row(name, times) for name, times in found.items()])
    print(f"\nfrozen for {min(frosts):.1f} to {max(frosts):.1f} s, {len(frosts)} times")


def measure(stage: Stage, ports: dict[str, int], found: dict[str, Times], *, cold: bool) -> None:
    """One of each kind of each project; all are frozen at the same time."""
    for name, port in ports.items():
        if cold:
            projctl(stage.lab, "stop", name)
            found[name]["cold"].append(first_byte(stage.lab, port))
        for _ in range(2):  # what a first answer leaves to do is no part of a warm one
            time.sleep(REST)
            warm = first_byte(stage.lab, port)
        found[name]["warm"].append(warm)
        first_byte(stage.lab, port + AWAY)
    wait_for(lambda: {stage.status()[name]["state"] for name in ports} == {"frozen"}, "all frozen")
    time.sleep(FROST)
    asked = [(name, "frozen", port) for name, port in ports.items()]
    asked += [(name, "rested", port + AWAY) for name, port in ports.items()]
    for name, kind, port in random.sample(asked, len(asked)):
        found[name][kind].append(first_byte(stage.lab, port))


def frosts_of(stage: Stage, name: str) -> list[float]:
    """Seconds of each frost that a connection ended."""
    thawed = stage.entries(PROJCTL_EVENT="thawed", PROJCTL_PROJECT=name)
    return [
        float(entry["PROJCTL_FROZEN_SECONDS"]) for entry in thawed if entry["PROJCTL_REASON"] == "connection"
    ]


def row(name: str, times: Times) -> tuple[str, ...]:
    cold, warm, rested, frozen = (statistics.median(times[kind]) for kind in KINDS)
    late = {kind: statistics.quantiles(times[kind], n=20)[-1] for kind in ("rested", "frozen")}
    shown = (cold, warm, rested, late["rested"], frozen, late["frozen"])
    return (
        name,
        *(f"{1000 * value:.2f}" for value in shown),
        f"{frozen / warm:.2f}",
        f"{frozen / rested:.2f}",
    )
