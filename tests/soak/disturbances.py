"""What the agent depends on fails again and again while projects are used, stop and freeze."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from server_cases import APPS
from stage import Soak, soak

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from run import Run

KILLS, PROJECTS = 200, 30
#: Disturbances between two lines about how far it is.
TENTH = 10
IDLE = 1.0
#: All that is older than so many seconds is vacuumed, and nothing newer: an agent needs a moment to read.
VACUUMED = 5
#: A third of the projects freeze first.
FREEZING = {"freeze": "1s", "stop": "3s"}

#: One that finishes what it has accepted when it is told to stop: what is lost is lost by projctl.
SERVER = {"path": str(APPS), "run": "gunicorn wsgi:app"}

Disturbance = tuple[str, "Callable[[Soak], None]"]


def _run(*words: str) -> Callable[[Soak], None]:
    return lambda stage: stage.lab.run(list(words), timeout=60) and None


def cut_bus(stage: Soak) -> None:
    """Shut down the agent's connection to the system bus, as the bus would."""
    stage.lab.run(["/usr/bin/python3", "-c", _CUT], timeout=60)


_CUT = """
import ctypes, os, re, socket, subprocess, time
for _ in range(100):
    pid = int(subprocess.check_output(["systemctl", "show", "-P", "MainPID", "projctl-agent.service"]))
    lines = subprocess.check_output(["ss", "-Hxp"], text=True).splitlines()
    bus = {line.split()[5] for line in lines if "system_bus_socket" in line}
    ours = [line for line in lines if f"pid={pid}," in line and line.split()[7] in bus]
    if ours:
        handle = int(re.search(rf"pid={pid},fd=([0-9]+)", ours[0])[1])
        copy = ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open(pid), handle, 0)
        socket.socket(fileno=copy).shutdown(socket.SHUT_RDWR)
        break
    time.sleep(0.1)
else:
    raise SystemExit("cannot find the agent's connection to the bus")
"""

KILL: Disturbance = ("SIGKILL to the agent", _run("systemctl", "kill", "-s", "KILL", "projctl-agent.service"))
OUTAGES: list[Disturbance] = [
    ("bus connection cut", cut_bus),
    (
        "journald restarted",
        _run("sh", "-c", "systemctl reset-failed $0; systemctl restart $0", "systemd-journald.service"),
    ),
    ("daemon-reexec", _run("systemctl", "daemon-reexec")),
    ("daemon-reload", _run("systemctl", "daemon-reload")),
    ("journal rotated", _run("journalctl", "--rotate")),
    (
        "journal vacuumed",
        _run("sh", "-c", f"journalctl --rotate && sleep {VACUUMED} && journalctl --vacuum-files=1"),
    ),
    ("agent restarted", _run("systemctl", "restart", "projctl-agent.service")),
]


async def use(stage: Soak, name: str, over: asyncio.Event) -> None:
    """Requests with pauses that are shorter and longer than the idle time."""
    while not over.is_set():
        await stage.ask(name)
        await asyncio.sleep(
            random.choice((0.3, IDLE, IDLE + 0.3, 2 * IDLE, 3 * IDLE)) * random.uniform(0.8, 1.2)
        )


async def disturb(
    stage: Soak, what: Sequence[Disturbance], most: float, tell: Callable[[str], None]
) -> dict[str, str]:
    """Use all projects while these happen at random, at `most` so many seconds apart; who does not sleep afterwards.

    They must be apart: an agent that was killed begins every idle time anew.
    """
    over = asyncio.Event()
    users = [asyncio.create_task(use(stage, name, over)) for name in stage.ports]
    for number, (name, act) in enumerate(what, 1):
        await asyncio.sleep(random.uniform(0.2, most))
        await asyncio.to_thread(act, stage)
        if number % TENTH == 0:
            tell(f"{number} of {len(what)}, the last one: {name}")
    over.set()
    await asyncio.gather(*users)
    return await stage.wait_until_all_sleep(60)


def measure(run: Run, what: Sequence[Disturbance], most: float, *, keeps_journal: bool) -> None:
    with soak() as stage:
        plain, freezing = ({**SERVER, "idle": idle} for idle in (IDLE, FREEZING))
        stage.install({f"p{n}": freezing if n % 3 == 0 else plain for n in range(PROJECTS)})
        begin = time.monotonic()
        awake = asyncio.run(disturb(stage, what, most, run.progress))
        frozen = [name for name, state in awake.items() if state == "frozen"]
        # Entries are read a moment after they are written.
        time.sleep(3)
        starts, stops = stage.counted()
        truth = stage.starts()
        decided = {name: len({run for _, run in found}) for name, found in stage.idle_stops().items()}
        wrong = stage.wrong_stops(IDLE)
        lost = stage.record.lost()
        rows: list[tuple[str, Any]] = [
            ("disturbances", len(what)),
            ("seconds", f"{time.monotonic() - begin:.0f}"),
            ("requests", stage.record.count()),
            ("lost", f"{sum(lost.values())} {lost or ''}".strip()),
            ("starts counted", sum(starts.values())),
            ("idle stops counted", sum(stops.values())),
            ("stops of what was in use", f"{len(wrong)} {wrong[:3] or ''}".strip()),
            ("still up a minute later", f"{len(awake)} {awake or ''}".strip()),
            ("still frozen", len(frozen)),
        ]
        if keeps_journal:
            differ = {n: (starts.get(n, 0), truth[n]) for n in truth if starts.get(n, 0) != truth[n]}
            unlike = {n: (stops.get(n, 0), decided[n]) for n in decided if stops.get(n, 0) != decided[n]}
            rows += [
                ("starts in the journal", sum(truth.values())),
                ("idle stops in the journal", sum(decided.values())),
                (
                    "projects whose totals differ",
                    f"{len({**differ, **unlike})} {differ or ''}{unlike or ''}".strip(),
                ),
            ]
            run.expect(not differ and not unlike, "totals that equal the journal")
    run.show(("what", "figure"), rows)
    # All sleep now, and nothing but the agent has stopped anything.
    run.expect(awake or starts == stops, "an idle stop counted for each start")
    run.expect(not lost, "no request lost")
    run.expect(not wrong, "nothing stopped that was in use")
    run.expect(not awake, "everything asleep a minute later")


def run_killed(run: Run) -> None:
    """the agent killed with SIGKILL at 200 random moments while 30 projects are used, stop and freeze"""
    measure(run, [KILL] * run.scaled(KILLS), 5.0, keeps_journal=True)


def run_outages(run: Run) -> None:
    """bus cut, journald restarted, daemon-reexec, daemon-reload, journal rotated and vacuumed, each ten times"""
    # While journald restarts systemd tells nothing of units: starts and stops are held against each other.
    what = OUTAGES * run.scaled(10)
    random.shuffle(what)
    measure(run, what, 3.0, keeps_journal=False)
