"""What reading the journal takes: the last lines of one project, and a whole history into metrics."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import recorded
import table
from steps import ENVIRONMENT, apply, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINES, PROJECTS, SHOWN, ROUNDS = 1_000_000, 100, 1000, 5
RUNS = 25_000
STARTING, STARTED = "7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf"
STOPPING, SUCCESS = "de5b426a63be47a7b6ac3eaac82e2f6f", "7ad2d189f7e94e70a38c781354912448"
#: In the lab: the same journal, read and counted by the agent's own modules, each step by itself.
REPLAY = """
import sys, time
from projctl_agent.journal import Journal, system_scope
from projctl_agent.lifecycle import Ledger
begin = time.perf_counter()
entries = [entry for entry, _ in Journal(system_scope()).read("") if entry]
read = time.perf_counter()
ledger = Ledger()
events = ledger.feed(entries)
fed = time.perf_counter()
text = "".join(event.line() for event in events)
written = time.perf_counter()
print(len(entries), sum(p.starts for p in ledger.projects.values()), read - begin, fed - read, written - fed)
"""
#: In the lab: what a program without projctl does.
PARSE = """
import json, subprocess, sys
with subprocess.Popen(["journalctl", "-o", "json", *sys.argv[1:]], stdout=subprocess.PIPE) as process:
    print(sum(1 for line in process.stdout if json.loads(line)))
"""


def lines() -> Iterator[str]:
    for number in range(LINES):
        project = number % PROJECTS
        yield recorded.entry(
            number, MESSAGE=f"127.0.0.1 GET /{number} 200", PRIORITY=6, SYSLOG_IDENTIFIER="server", _TRANSPORT="stdout",
            _PID=1000 + project, _UID=0, _SYSTEMD_UNIT=f"projctl-p{project}.service",
        )  # fmt: skip


def lives() -> Iterator[str]:
    for run in range(RUNS):
        unit, invocation = f"projctl-p{run % PROJECTS}.service", f"{run:032x}"
        for step, identity in enumerate((STARTING, STARTED, STOPPING, SUCCESS)):
            yield recorded.entry(
                4 * run + step, MESSAGE=identity, MESSAGE_ID=identity, PRIORITY=6, _PID=1, _UID=0, UNIT=unit,
                INVOCATION_ID=invocation, _SYSTEMD_UNIT="init.scope",
            )  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def run() -> None:
    """the last 1,000 lines of one of 100 projects out of 1,000,000, and 100,000 entries into metrics, in ms"""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        _logs(Path(name))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        _replay(Path(name))


def _logs(directory: Path) -> None:
    files = recorded.write(directory, lines())
    with Lab.boot(binds=[directory]) as lab:
        recorded.show(lab, files)
        apply(lab, {f"p{number}": server(listen=10000 + number) for number in (0, 5)})
        ours = [f"--lines={SHOWN}", "--output=json", "_SYSTEMD_UNIT=projctl-p5.service"]

        def python(*words: str) -> str:
            return lab.run([sys.executable, *words], env=ENVIRONMENT).stdout

        def logs() -> None:
            words = ["-m", "projctl", "logs", "p5", "-n", str(SHOWN), "--json"]
            assert len(python(*words).splitlines()) == SHOWN

        def journalctl() -> None:
            assert len(lab.run(["journalctl", *ours]).stdout.splitlines()) == SHOWN

        def parse(*words: str) -> None:
            assert (
                int(lab.run([sys.executable, "-c", PARSE, *words], env=ENVIRONMENT, timeout=600).stdout)
                >= SHOWN
            )

        cases: list[tuple[str, Callable[[], object], int]] = [
            ("nothing (a program that ends at once)", lambda: lab.run(["true"]), ROUNDS),
            ("Python and click, which ends at once", lambda: python("-c", "import click"), ROUNDS),
            ("projctl logs p5 -n 1000 --json", logs, ROUNDS),
            ("journalctl of the same lines", journalctl, ROUNDS),
            ("the same lines as JSON, parsed in Python", lambda: parse(*ours), ROUNDS),
            ("all lines of p5 as JSON, parsed in Python", lambda: parse(ours[-1]), 1),
            ("the whole journal as JSON, parsed in Python", parse, 1),
        ]
        rows = []
        for what, work, rounds in cases:
            recorded.forget(files)
            first, *again = [timed(work) for _ in range(rounds + 1)] if rounds > 1 else [timed(work)]
            rows.append((what, f"{1e3 * first:.0f}", f"{1e3 * min(again):.0f}" if again else "-"))
        table.show(
            (f"{LINES:,} lines, {sum(file.stat().st_size for file in files) >> 20} MiB", "first", "repeated"),
            rows,
        )


def _replay(directory: Path) -> None:
    files = recorded.write(directory, lives())
    with Lab.boot(binds=[directory]) as lab:
        recorded.show(lab, files)
        found = lab.run([sys.executable, "-c", REPLAY], env=ENVIRONMENT, timeout=600).stdout.split()
        assert int(found[0]) >= 4 * RUNS and int(found[1]) >= RUNS, found
        json_ = timed(lambda: lab.run([sys.executable, "-c", PARSE, "_PID=1"], env=ENVIRONMENT, timeout=600))
        told = timed(
            lambda: lab.run(
                [sys.executable, "-m", "projctl_agent", "events", "--json"], env=ENVIRONMENT, timeout=600
            )
        )
    rows = [
        (what, f"{1e3 * float(seconds):.0f}", f"{int(found[0]) / float(seconds):,.0f}")
        for what, seconds in zip(
            ("read from the journal", "counted into metrics and events", "events as JSON"),
            found[2:],
            strict=True,
        )
    ]
    rows.append(
        (
            "projctl-agent events --json, the whole program",
            f"{1e3 * told:.0f}",
            f"{int(found[0]) / told:,.0f}",
        )
    )
    rows.append(
        ("journalctl -o json, parsed in Python", f"{1e3 * json_:.0f}", f"{int(found[0]) / json_:,.0f}")
    )
    table.show((f"{int(found[0]):,} entries", "ms", "a second"), rows)
