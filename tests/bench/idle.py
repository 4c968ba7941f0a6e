"""How late idle stops come, and how often the agent wakes up for what runs and for what sleeps."""

from __future__ import annotations

import json
import math
import random
import time

import table
from steps import apply, get, projctl, properties, server, wait_for

from projctl.lab import Lab

IDLE_STOP = "d649923182a64247b971172f532f4fa7"
#: Idle times in seconds, and how many projects have them.
STORIES = ((60, 1), (60, 5), (20, 5), (2, 5))
SLEEP = 40


def switches(lab: Lab) -> int:
    """How often the agent has gone to sleep."""
    pid = properties(lab, "projctl-agent.service", "MainPID")["MainPID"]
    status = lab.file(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))
    return int(line.split()[1])


def stops(lab: Lab) -> list[dict[str, str]]:
    """The agent's entries about idle stops."""
    lab.run(["journalctl", "--sync"])
    text = lab.run(["journalctl", "-o", "json", f"MESSAGE_ID={IDLE_STOP}"]).stdout
    return [json.loads(line) for line in text.splitlines()]


def stops_after(lab: Lab, used: dict[str, float]) -> list[tuple[float, str]]:
    """The idle stops that came after the last use of each: how long after, and what was given as that use."""
    found = []
    for entry in stops(lab):
        last = used.get(entry["PROJCTL_PROJECT"], math.inf)
        after = int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 - last
        if after > 0:
            found.append((after, entry["PROJCTL_ACTIVITY"]))
    return found


def story(lab: Lab, idle: int, running: int) -> tuple[str, ...]:
    """The figures of one idle time: from the last byte of each project to the agent's decision about it."""
    projects = {f"p{number}": server(listen=5001 + number, idle=f"{idle}s") for number in range(running)}
    apply(lab, projects)
    used = {}
    for number, name in enumerate(projects):
        get(lab, 5001 + number)
        used[name] = time.time()
    time.sleep(idle / 4)  # what follows a start is over
    for number, name in enumerate(projects):
        if number:  # the first is never used again
            time.sleep(random.uniform(0, idle / 20))
            get(lab, 5001 + number)
            used[name] = time.time()
    before, begun = switches(lab), time.monotonic()
    time.sleep(idle / 2)
    wakes, seconds = switches(lab) - before, time.monotonic() - begun
    wait_for(lambda: len(stops_after(lab, used)) == running, idle + 30)
    found = stops_after(lab, used)
    late = [after - idle for after, _ in found]
    told = ", ".join(sorted({activity for _, activity in found}))
    allowed = seconds / (idle / 20) * running
    return (
        str(idle), str(running), told, f"{min(late):.2f}", f"{max(late):.2f}", f"{max(2.0, idle / 20):.2f}", str(wakes),
        f"{allowed:.0f}", f"{wakes / allowed:.2f}",
    )  # fmt: skip


def run() -> None:
    """seconds from when projects were idle for long enough to the stop, and wake-ups of the agent meanwhile"""
    with Lab.boot() as lab:
        projctl(lab, "agent", "install")
        rows = [story(lab, idle, running) for idle, running in STORIES]
        head = (
            "idle time s",
            "projects",
            "last use",
            "late s: least",
            "most",
            "allowed",
            "wake-ups",
            "wake-ups allowed",
            "ratio",
        )
        table.show(head, rows)
        time.sleep(2 * SLEEP)  # until the chores rest
        before = switches(lab)
        time.sleep(SLEEP)
        print(f"\nwake-ups in {SLEEP} s while all sleep: {switches(lab) - before}")
