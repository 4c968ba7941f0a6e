"""One scrape of a fleet, asleep and running, against asking systemd for each unit."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import table
from agent_stage import Stage, install_agent, wait_for

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 300
TIMES = 10
#: Lines of its access log that each project has written since the scrape before.
LINES = 100
_LINE = '127.0.0.1 - - [21/Nov/2026:10:58:01 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"'
_SERVICE = f"""
[Unit]
PartOf=projctl-NAME.socket
[Service]
Type=exec
ExecStart=/bin/sleep infinity
ExecReload=/bin/sh -c 'for i in $$(seq {LINES}); do echo "$$LINE"; done'
Environment='LINE={_LINE}'
[X-Projctl]
Project=NAME
Role=server
Sockets=projctl-NAME.socket
IdleStopSec=infinity
"""
_SOCKET = "[Socket]\nListenStream={}\nIPAccounting=yes\n"


def milliseconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - begin)


def agent_cpu(stage: Stage) -> float:
    """CPU milliseconds of the agent so far."""
    pid = stage.systemctl("show", "-P", "MainPID", "projctl-agent.service")
    stat = stage.lab.file(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 10.0 * (int(stat[11]) + int(stat[12]))


def measured(stage: Stage, what: str, before: Callable[[], object] = lambda: None) -> tuple[object, ...]:
    """A row: the median scrape, what it took of the agent's CPU, the size of its text."""
    times, text, cpu = [], "", 0.0
    for _ in range(TIMES):
        before()
        used = agent_cpu(stage)
        times.append(milliseconds(lambda: stage.get(9753, "/metrics")))
        cpu += agent_cpu(stage) - used
        time.sleep(0.6)  # the agent rests after each scrape
    text = stage.get(9753, "/metrics")
    return (
        what,
        f"{statistics.median(times):.0f}",
        f"{cpu / TIMES:.0f}",
        text.count("\n"),
        f"{len(text) / 1024:.0f}",
    )


def units() -> list[str]:
    return [f"projctl-p{number}.service" for number in range(SIZE)]


def write(stage: Stage, *, logs: bool) -> None:
    more = r'AccessLog=" (?P<status>\d{3}) ' + "\n" if logs else ""
    for number in range(SIZE):
        stage.write(f"projctl-p{number}.socket", _SOCKET.format(10000 + number))
        stage.write(f"projctl-p{number}.service", _SERVICE.replace("NAME", f"p{number}") + more)
    stage.systemctl("daemon-reload")


def run() -> None:
    """a scrape of 300 projects, median in ms, and the same asked of systemd"""
    with Lab.boot() as lab:
        stage = install_agent(lab)
        write(stage, logs=False)
        stage.systemctl("start", *(unit.replace("service", "socket") for unit in units()))
        rows = [measured(stage, "all asleep")]
        stage.systemctl("start", *units())
        wait_for(lambda: len(running(stage)) == SIZE, "all watched", 240)
        rows.append(measured(stage, "all running"))
        write(stage, logs=True)
        wait_for(lambda: len(running(stage)) == SIZE, "all watched again", 240)
        log = measured(stage, f"and {LINES} lines each", lambda: stage.systemctl("reload", *units()))
        rows.append(log)
        table.show(("projects", "scrape ms", "agent CPU ms", "lines", "KiB"), rows)
        wanted = "--property=Id,ActiveState,MainPID,MemoryCurrent,CPUUsageNSec"
        each = milliseconds(
            lambda: lab.run(
                ["sh", "-c", f"for u in {' '.join(units())}; do systemctl show {wanted} $u; done"],
                timeout=300,
            )
        )
        at_once = milliseconds(lambda: stage.systemctl("show", wanted, *units()))
        print()
        table.show(
            ("by systemctl show", "ms"),
            [("a call for each service", f"{each:.0f}"), ("one call for all", f"{at_once:.0f}")],
        )


def running(stage: Stage) -> list[object]:
    return [key for key in stage.metrics() if key[0] == "projctl_uptime_seconds"]
