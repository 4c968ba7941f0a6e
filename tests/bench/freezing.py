"""Time to the first byte of a server that was frozen for seconds, beside the same one cold and warm."""

from __future__ import annotations

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
#: What was measured of a project, in seconds, by kind.
Times = dict[str, list[float]]


def run() -> None:
    """time from connect to the first byte: cold, warm, and frozen by the agent for some seconds, in milliseconds"""
    with Lab.boot() as lab:
        stage = install_agent(lab)
        policy = {"freeze": FREEZE, "stop": "never"}
        apply(lab, {name: {**project, "idle": policy} for name, project in PROJECTS.items()})
        ports: dict[str, int] = {name: project["listen"] for name, project in PROJECTS.items()}
        found: dict[str, Times] = {name: {"cold": [], "warm": [], "frozen": []} for name in ports}
        # In turn, so that whatever else the machine does meets all kinds.
        for number in range(ROUNDS):
            measure(stage, ports, found, cold=number < COLD)
        frosts = [frost for name in ports for frost in frosts_of(stage, name)]
        assert len(frosts) == ROUNDS * len(ports), "a frost that no connection ended"
    head = (
        "server", "cold p50", "warm p50", "warm p95", "frozen p50", "frozen p95", "frozen p50 / warm p50",
        "cold p50 / frozen p50",
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
    wait_for(lambda: {each["state"] for each in stage.status().values()} == {"frozen"}, "all frozen")
    time.sleep(FROST)
    for name, port in ports.items():
        found[name]["frozen"].append(first_byte(stage.lab, port))


def frosts_of(stage: Stage, name: str) -> list[float]:
    """Seconds of each frost that a connection ended."""
    thawed = stage.entries(PROJCTL_EVENT="thawed", PROJCTL_PROJECT=name)
    return [
        float(entry["PROJCTL_FROZEN_SECONDS"]) for entry in thawed if entry["PROJCTL_REASON"] == "connection"
    ]


def row(name: str, times: Times) -> tuple[str, ...]:
    cold, warm, frozen = (statistics.median(times[kind]) for kind in ("cold", "warm", "frozen"))
    late = {kind: statistics.quantiles(times[kind], n=20)[-1] for kind in ("warm", "frozen")}
    shown = (cold, warm, late["warm"], frozen, late["frozen"])
    return (name, *(f"{1000 * value:.2f}" for value in shown), f"{frozen / warm:.2f}", f"{cold / frozen:.0f}")
