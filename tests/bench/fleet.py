"""A fleet that sleeps: what apply takes, what the agent uses, what a project costs."""

from __future__ import annotations

import sys
import time
from typing import Any

import table
from steps import ENVIRONMENT, properties, server, write

from projctl.lab import Lab

SIZES = (10, 100, 500)
SECONDS = 20


def timed(lab: Lab, *words: str) -> str:
    begin = time.perf_counter()
    lab.run([sys.executable, "-m", "projctl", *words], env=ENVIRONMENT, timeout=300)
    return f"{time.perf_counter() - begin:.2f}"


def sleeping(lab: Lab) -> tuple[str, str, str]:
    """CPU milliseconds and wake-ups of the agent over SECONDS, and its memory."""
    pid = properties(lab, "projctl-agent.service", "MainPID")["MainPID"]

    def usage() -> tuple[int, int]:
        stat = lab.file(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = lab.file(f"/proc/{pid}/status").read_text()
        switches = next(line for line in status.splitlines() if line.startswith("voluntary_ctxt"))
        return 10 * (int(stat[11]) + int(stat[12])), int(switches.split()[1])

    cpu, wakes = usage()
    time.sleep(SECONDS)
    cpu_after, wakes_after = usage()
    rollup = lab.file(f"/proc/{pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return str(cpu_after - cpu), str(wakes_after - wakes), f"{pss / 1024:.1f}"


def run() -> None:
    """apply in seconds (new, unchanged, one more), and the agent over 20 s while all projects sleep"""
    rows: list[tuple[Any, ...]] = []
    for size in SIZES:
        with Lab.boot() as lab:
            lab.run([sys.executable, "-m", "projctl", "agent", "install"])
            projects = {f"p{number}": server(listen=10000 + number) for number in range(size)}
            write(lab, projects)
            new, unchanged = timed(lab, "apply", "--no-preflight"), timed(lab, "apply")
            write(lab, {**projects, "more": server(listen=9999)})
            rows.append(
                (
                    size,
                    new,
                    unchanged,
                    timed(lab, "apply", "--no-preflight"),
                    timed(lab, "list", "--json"),
                    *sleeping(lab),
                )
            )
    head = ("projects", "new", "unchanged", "one more", "list", "agent CPU ms", "wake-ups", "PSS MiB")
    table.show(head, rows)
