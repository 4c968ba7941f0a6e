"""A Next.js application behind the proxy: its cold start, its answers, its memory, its idle stop."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import table
from steps import ROOT, apply, get, projctl, projects, wait_for

from projctl.lab import Lab

APP = Path(__file__).with_name("nextapp")
#: Some 350 MB: installed and built when this is asked for by name, and kept.
PLACE = ROOT / ".venv/nextapp"
PORT, COLD, WARM = 3400, 5, 50
#: What is measured with: next itself, and npm in front of it.
RUNS = {
    "next": "node_modules/.bin/next start -H $HOST -p $PORT",
    "npm": "npm start -- -H $HOST -p $PORT",
}


def install() -> None:
    """The application with its packages, built."""
    if (PLACE / ".next/BUILD_ID").exists():
        return
    shutil.copytree(APP, PLACE, dirs_exist_ok=True)
    environment = os.environ | {"NEXT_TELEMETRY_DISABLED": "1"}
    for words in (["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], ["npm", "run", "build"]):
        subprocess.run(words, cwd=PLACE, env=environment, check=True, stdout=subprocess.DEVNULL)


def timed(lab: Lab) -> float:
    """Milliseconds until the whole page is there."""
    began = time.perf_counter()
    answer = get(lab, PORT)
    assert re.search(r"process (<!-- -->)?\d+</main>", answer), answer
    return 1000 * (time.perf_counter() - began)


def asleep(lab: Lab) -> bool:
    return projects(lab)["site"]["state"] == "asleep"


def measure(lab: Lab, run: str) -> tuple[object, ...]:
    """Figures of one way to start it; the last stop is left to the agent."""
    apply(lab, {"site": {"path": str(PLACE), "run": run, "server": "proxy", "listen": PORT, "idle": "3s"}})
    projctl(lab, "check", "--preflight")
    cold = []
    for _ in range(COLD):
        projctl(lab, "stop", "site")
        wait_for(lambda: asleep(lab))
        cold.append(timed(lab))
    warm = statistics.median(timed(lab) for _ in range(WARM))
    began = time.monotonic()
    memory = projects(lab)["site"]["memory_bytes"] or 0
    wait_for(lambda: asleep(lab), seconds=30)
    stopped = time.monotonic() - began
    return f"{statistics.median(cold):.0f}", f"{warm:.1f}", f"{memory / 1e6:.0f}", f"{stopped:.1f}"


def run() -> None:
    """Next.js behind the proxy: median cold start, warm answer, memory, seconds until the idle stop (policy: 3)"""
    install()
    rows = []
    with Lab.boot() as lab:
        projctl(lab, "agent", "install")
        for name, words in RUNS.items():
            rows.append((name, *measure(lab, words)))
            apply(lab, {})
    table.show(("run", "cold ms", "warm ms", "memory MB", "stopped after s"), rows)
