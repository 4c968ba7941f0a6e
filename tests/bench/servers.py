"""Requests lost when a server is stopped under a stream of them, and what is left of its socket's backlog."""

from __future__ import annotations

import tempfile
from pathlib import Path

import server_cases
import table
from server_stage import HEAD, Figures, Stage

from projctl.lab import Lab

STOPS = 100


def run() -> None:
    """backlog of the held socket before and after a run; requests lost at stops under a constant stream"""
    rows: list[tuple[object, ...]] = []
    ends: list[str] = []
    with tempfile.TemporaryDirectory() as directory, Lab.boot(binds=[Path(directory)]) as lab:
        Path(directory).chmod(0o755)
        for number, case in enumerate(server_cases.every().values()):
            figures = measure(Stage(lab, case, 3400 + 10 * number, Path(directory) / case.name))
            rows.append(figures.row(case.name))
            ends += [f"{case.name}: {count}: {end}" for end, count in figures.lost.items()]
    table.show(HEAD, rows)
    print("\nhow they were lost", *ends, sep="\n")


def measure(stage: Stage) -> Figures:
    """The figures of one server."""
    with stage:
        stage.ask()
        stage.stop()
        stage.figures.backlog_after = stage.backlog()
        stage.stop_under_stream(STOPS)
    return stage.figures
