"""What the agent depends on fails again and again while projects are used, stop and freeze."""

from __future__ import annotations

import asyncio
import collections
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import frost
from server_cases import APPS
from stage import Soak, soak

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from run import Run

#: How often the agent is killed, and its helper.
KILLS, HELPER_KILLS, PROJECTS = 200, 40, 30
#: Disturbances between two lines about how far it is.
TENTH = 10
IDLE = 1.0
#: All that is older than so many seconds is vacuumed, and nothing newer: an agent needs a moment to read.
VACUUMED = 5
#: A third of the projects freeze first.
FREEZING = {"freeze": 0.5, "stop": 3.0}
#: Pauses between two uses: around the idle time, and of those that freeze from before that to after their stop.
PAUSES, LONG_PAUSES = (0.3, 1.0, 1.3, 2.0, 3.0), (0.3, 1.5, 2.0, 2.5, 3.0, 6.0)
#: Seconds for something to freeze where a disturbance waits for that.
FROST = 10.0

#: One that finishes what it has accepted when it is told to stop: what is lost is lost by projctl.
SERVER = {
    "path": str(APPS),
    "run": ["gunicorn", "-c", str(Path(__file__).with_name("starts.py")), "wsgi:app"],
}


class Disturbance(NamedTuple):
    """What happens, and whether it waits until something is frozen."""

    name: str
    #: A kill returns the units that it left frozen.
    act: Callable[[Soak], set[str] | None]
    meets_frost: bool = False


@dataclass
class Met:
    """How often each disturbance happened, how many projects were frozen each time, right before it, and which ones a
    kill left frozen.
    """

    frozen: dict[str, list[int]] = field(default_factory=lambda: collections.defaultdict(list))
    left: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))

    def note(self, stage: Soak, what: Disturbance) -> None:
        """Count them, by the state of their processes, after a while where some must be."""
        deadline = time.monotonic() + FROST
        while not (frozen := frost.frozen(stage.lab)) and what.meets_frost and time.monotonic() < deadline:
            time.sleep(0.02)
        self.frozen[what.name].append(len(frozen))

    def rows(self) -> list[tuple[object, ...]]:
        """As a table; what was left frozen is looked for after kills only."""
        return [
            (
                name,
                len(each),
                sum(map(bool, each)),
                sum(each),
                len(self.left[name]) if name in self.left else "-",
            )
            for name, each in sorted(self.frozen.items())
        ]


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

KILL, KILL_HELPER = "SIGKILL to the agent", "SIGKILL to the helper"
KILLED = {
    KILL: Disturbance(KILL, lambda stage: frost.kill(stage.lab, "projctl-agent.service")),
    KILL_HELPER: Disturbance(
        KILL_HELPER, lambda stage: frost.kill(stage.lab, "projctl-agent-helper.service"), meets_frost=True
    ),
}
OUTAGES = [
    Disturbance("bus connection cut", cut_bus),
    Disturbance(
        "journald restarted",
        _run("sh", "-c", "systemctl reset-failed $0; systemctl restart $0", "systemd-journald.service"),
    ),
    Disturbance("daemon-reexec", _run("systemctl", "daemon-reexec")),
    Disturbance("daemon-reload", _run("systemctl", "daemon-reload")),
    Disturbance("journal rotated", _run("journalctl", "--rotate")),
    Disturbance(
        "journal vacuumed",
        _run("sh", "-c", f"journalctl --rotate && sleep {VACUUMED} && journalctl --vacuum-files=1"),
    ),
    Disturbance("agent restarted", _run("systemctl", "restart", "projctl-agent.service")),
]


async def use(stage: Soak, name: str, over: asyncio.Event) -> None:
    """Requests with pauses that are shorter and longer than its idle time."""
    pauses = PAUSES if stage.idle[name] == IDLE else LONG_PAUSES
    while not over.is_set():
        await stage.ask(name)
        await asyncio.sleep(random.choice(pauses) * random.uniform(0.8, 1.2))


async def disturb(
    stage: Soak, what: Sequence[Disturbance], most: float, tell: Callable[[str], None]
) -> tuple[Met, dict[str, str]]:
    """Use all projects while these happen at random, at `most` so many seconds apart; what they met, and who does not
    sleep afterwards.

    They must be apart: an agent that was killed begins every idle time anew.
    """
    over, met = asyncio.Event(), Met()
    users = [asyncio.create_task(use(stage, name, over)) for name in stage.ports]
    for number, each in enumerate(what, 1):
        await asyncio.sleep(random.uniform(0.2, most))
        await asyncio.to_thread(met.note, stage, each)
        if (left := await asyncio.to_thread(each.act, stage)) is not None:
            met.left[each.name] += left
            if left:
                tell(f"{each.name}: left frozen: {' '.join(sorted(left))}")
        if number % TENTH == 0:
            tell(f"{number} of {len(what)}, the last one: {each.name}")
    over.set()
    await asyncio.gather(*users)
    return met, await stage.wait_until_all_sleep(60)


def measure(run: Run, what: Sequence[Disturbance], most: float, *, keeps_journal: bool) -> Met:
    """Let all of it happen and show what came of it; what it met."""
    with soak() as stage:
        plain, freezing = ({**SERVER, "idle": idle} for idle in (IDLE, FREEZING))
        names = {f"p{n}": freezing if n % 3 == 0 else plain for n in range(PROJECTS)}
        stage.install({name: {**project, "env": stage.tells(name)} for name, project in names.items()})
        begin = time.monotonic()
        met, awake = asyncio.run(disturb(stage, what, most, run.progress))
        stopped = frost.stopped(stage.lab)
        # Entries are read a moment after they are written.
        time.sleep(3)
        starts, stops = stage.counted()
        served = stage.served()
        uncounted = differing(starts, served)
        wrong = stage.wrong_stops()
        lost = stage.record.lost()
        seconds = stage.frozen_seconds()
        rows: list[tuple[str, Any]] = [
            ("disturbances", len(what)),
            ("seconds", f"{time.monotonic() - begin:.0f}"),
            ("requests", stage.record.count()),
            ("lost", told(sum(lost.values()), lost)),
            ("longest answer, s", f"{stage.record.longest():.1f}"),
            ("starts counted", sum(starts.values())),
            ("starts the servers tell of", sum(served.values())),
            ("projects where these differ", told(len(uncounted), uncounted)),
            ("idle stops counted", sum(stops.values())),
            ("stops of what was in use", told(len(wrong), wrong[:3])),
            ("still up a minute later", told(len(awake), awake)),
            ("processes still stopped then", told(len(stopped), stopped)),
            ("seconds frozen, counted", f"{seconds:.0f}"),
        ]
        if keeps_journal:
            rows += journal_rows(run, stage, starts, stops)
    run.show(("what", "figure"), rows)
    run.show(("disturbance", "times", "with something frozen", "projects frozen then", "left so"), met.rows())
    run.expect(not uncounted, "a start counted for each that a server tells of")
    # All sleep now, and nothing but the agent has stopped anything.
    run.expect(awake or starts == stops, "an idle stop counted for each start")
    run.expect(not lost, "no request lost")
    run.expect(not wrong, "nothing stopped that was in use")
    run.expect(not awake, "everything asleep a minute later")
    run.expect(not any(met.left.values()), "nothing left frozen by a kill")
    run.expect(not stopped, "no process stopped a minute later")
    run.expect(seconds, "seconds frozen counted")
    run.expect(sum(map(sum, met.frozen.values())), "projects frozen when something happened")
    return met


def journal_rows(
    run: Run, stage: Soak, starts: dict[str, int], stops: dict[str, int]
) -> list[tuple[str, Any]]:
    """What a journal that nobody took anything from says beside the agent's totals."""
    truth, decisions = stage.starts(), stage.idle_stops()
    decided = {name: len({run for _, run in found}) for name, found in decisions.items()}
    differ = {**differing(starts, truth), **differing(stops, decided)}
    run.expect(not differ, "totals that equal the journal")
    frozen, thawed = stage.frosts()
    for reason in ("connection", "stop"):
        run.expect(thawed.get(reason), f"projects thawed by a {reason}")
    return [
        ("starts in the journal", sum(truth.values())),
        ("idle stops in the journal", sum(decided.values())),
        ("projects whose totals differ", told(len(differ), differ)),
        ("runs decided upon twice", sum(map(len, decisions.values())) - sum(decided.values())),
        ("frozen", frozen),
        ("thawed", told(sum(thawed.values()), thawed)),
    ]


def differing(counted: dict[str, int], truth: dict[str, int]) -> dict[str, tuple[int, int]]:
    """What was counted and what is true, where that is not the same."""
    return {
        name: (counted.get(name, 0), true) for name, true in truth.items() if counted.get(name, 0) != true
    }


def told(count: int, details: object) -> str:
    return f"{count} {details or ''}".strip()


def run_killed(run: Run) -> None:
    """the agent killed with SIGKILL at 200 random moments and its helper at 40 while 30 projects are used and freeze"""
    what = [KILLED[KILL]] * run.scaled(KILLS) + [KILLED[KILL_HELPER]] * run.scaled(HELPER_KILLS)
    random.shuffle(what)
    met = measure(run, what, 3.0, keeps_journal=True)
    run.expect(sum(met.frozen[KILL]), f"projects frozen at a {KILL}")
    # Each of these waits for some.
    helper = met.frozen[KILL_HELPER]
    run.expect(sum(map(bool, helper)) >= 0.9 * len(helper), f"projects frozen at nearly every {KILL_HELPER}")


def run_outages(run: Run) -> None:
    """bus cut, journald restarted, daemon-reexec, daemon-reload, journal rotated and vacuumed, each ten times"""
    # While journald restarts systemd tells nothing of units: starts and stops are held against each other, and against
    # what the servers tell.
    what = OUTAGES * run.scaled(10)
    random.shuffle(what)
    measure(run, what, 3.0, keeps_journal=False)
