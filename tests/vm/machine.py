"""What the steps use to act on the machine and to look at it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DISK = Path("/mnt")
MANIFEST = Path("/etc/projctl/projects.d/site.yaml")
MORE = MANIFEST.with_name("more.yaml")
#: Seconds: for one thing that must come, and for a whole step.
PATIENCE, LONGEST = 180.0, 1200
#: What is said to have taken long.
LONG = 15.0
AGENT = (
    "projctl-agent.service",
    "projctl-agent.socket",
    "projctl-agent-metrics.socket",
    "projctl-agent-helper.socket",
)
TEXT = """\
version: 1
defaults:
  user: www-data
projects:
  shop:
    path: /srv/site
    run: gunicorn app:application
    listen: 3400
    # An emulated processor that others hold up counts that as time used.
    idle: {stop: 8s, min_uptime: 1s, busy_cpu: never}
    limits: {memory: 96M, cpu: 80%, tasks: 32}
  keeper:
    path: /srv/site
    run: gunicorn app:application
    listen: 3401
    idle: 6h
  still:
    path: /srv/site
    run: gunicorn --timeout 300 app:application
    listen: 3402
    idle: {freeze: 2s, reclaim: yes, stop: never}
"""


def run(*command: str, check: bool = True, **environment: str) -> str:
    """What a command printed, complaints included; how long it took where that was long."""
    begun = time.monotonic()
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=LONGEST,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", "LANG": "C.UTF-8"} | environment,
    )  # fmt: skip
    if (took := time.monotonic() - begun) > LONG:
        print(f"      {took:.0f} s: {' '.join(command)}", flush=True)
    assert not check or result.returncode == 0, f"{' '.join(command)}: {result.stdout}"
    return result.stdout.strip()


def wait_for(what: Callable[[], object], why: str) -> None:
    """Return when `what` is true."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, f"waited {PATIENCE:g} s for: {why}"
        time.sleep(0.2)


def shown(unit: str, name: str) -> str:
    return run("systemctl", "show", "--value", f"--property={name}", unit)


def state(unit: str) -> str:
    return shown(unit, "ActiveState")


def main_pid(unit: str) -> int:
    return int(shown(unit, "MainPID"))


def group(unit: str) -> Path:
    """The control group of a unit that runs."""
    return Path("/sys/fs/cgroup", shown(unit, "ControlGroup")[1:])


def number(file: Path, key: str = "") -> int:
    """A figure of a control group: all that a file says, or what follows a key."""
    return next(int(line.split()[-1]) for line in file.read_text().splitlines() if line.startswith(key))


def wait_until_frozen(unit: str, *, frozen: bool = True) -> None:
    stat = Path(f"/proc/{main_pid(unit)}/stat")
    wait_for(lambda: (stat.read_text().rpartition(")")[2].split()[0] == "T") is frozen, f"{unit} {frozen=}")


def get(port: int, path: str = "/") -> str:
    """The body of an answer; empty when the server ended before it could."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def metric(line: str) -> float:
    """The value of one sample, 0 when it is not there."""
    values = [
        text.rpartition(" ")[2] for text in get(9753, "/metrics").splitlines() if text.startswith(f"{line} ")
    ]
    return float(values[0]) if values else 0.0


def totals(name: str) -> tuple[float, float]:
    """The starts and the idle stops of a project that the agent has counted."""
    return (
        metric(f'projctl_starts_total{{project="{name}"}}'),
        metric(f'projctl_stops_total{{project="{name}",reason="idle"}}'),
    )


def happened(name: str) -> tuple[int, int]:
    """The starts of a project by systemd's own entries, and the runs that the agent decided to stop as idle."""
    run("journalctl", "--sync")
    starts = entries("MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5", "_PID=1", f"UNIT=projctl-{name}.service")
    stops = entries(
        "PROJCTL_EVENT=idle-stop", f"PROJCTL_PROJECT={name}", "_SYSTEMD_UNIT=projctl-agent.service"
    )
    return len(starts), len({entry["PROJCTL_INVOCATION_ID"] for entry in stops})


def entries(*matches: str) -> list[dict[str, Any]]:
    """Entries of the journal."""
    return [json.loads(line) for line in run("journalctl", "--output=json", "--quiet", *matches).splitlines()]


def at_rest(name: str, *, asleep: bool = True) -> tuple[float, float]:
    """The totals of a project, asleep where it is to be, once all that happened is counted."""
    if asleep:
        falls_asleep(f"projctl-{name}.service")
    wait_for(lambda: totals(name) == happened(name), f"all of {name} counted")
    return totals(name)


def counts_one_more(name: str, before: tuple[float, float]) -> None:
    """Show that one start and one idle stop of a project have happened since, and that they are counted once."""
    expected = before[0] + 1, before[1] + 1
    assert happened(name) == expected, (happened(name), before)
    wait_for(lambda: totals(name) == expected, f"{expected} counted of {name}")


def use_repository(name: str) -> None:
    """Let apt know the packages of one directory, and nothing else."""
    shutil.rmtree("/etc/apt/sources.list.d", ignore_errors=True)
    Path("/etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{DISK}/{name} ./\n")
    run("apt-get", "update")


def wakes(port: int, unit: str) -> None:
    """Show that a connection to a sleeping project is answered by a server that it started."""
    assert state(unit) == "inactive", state(unit)
    assert get(port) == "/"
    assert state(unit) == "active"


def falls_asleep(unit: str) -> None:
    wait_for(lambda: state(unit) == "inactive", f"{unit} asleep")
    assert state(unit.replace(".service", ".socket")) == "active"
