"""The demo: projects sleep, start on demand, stop when idle, start again. Every figure is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import traces

from projctl import manifest
from projctl.diagnostics import ProjctlError, raise_errors
from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

    from traces import Traces

MANIFEST = Path(__file__).with_name("projects.yaml")
METRICS_PORT = 9753
#: Seconds that anything may take, the idle times not counted.
PATIENCE = 30.0
MEBIBYTE = 1 << 20


def heading(text: str) -> None:
    """Begin a part of the story."""
    click.secho(f"\n{text}", bold=True)


def fact(what: str, figure: str = "") -> None:
    """One line: what, and what was measured of it."""
    click.echo(f"  {what:<64}{click.style(f'{figure:>10}', fg='green')}" if figure else f"  {what}")


def seconds(value: float) -> str:
    """A measured time, to the millisecond."""
    return f"{value:.3f} s"


def run(lab: Lab, *words: str) -> str:
    """The output of a command in the lab."""
    program = [sys.executable, "-P", "-m", "projctl"] if words[0] == "projctl" else [words[0]]
    return lab.run([*program, *words[1:]], timeout=PATIENCE).stdout


def tell_command(lab: Lab, *words: str) -> None:
    """Run a command in the lab as a user would, and tell how long it took."""
    begun = time.monotonic()
    run(lab, *words)
    shown = (os.path.relpath(word) if word == str(MANIFEST) else word for word in words)
    fact(f"$ {' '.join(shown)}", seconds(time.monotonic() - begun))


def projects(lab: Lab) -> dict[str, dict[str, Any]]:
    """What `projctl list --json` says, by name."""
    return {project["name"]: project for project in json.loads(run(lab, "projctl", "list", "--json"))}


def processes(lab: Lab) -> int:
    """How many processes there are in the control groups of all projects."""
    top = lab.file("/sys/fs/cgroup/projctl.slice")
    if not top.is_dir():
        raise ProjctlError("cannot find the control group of projctl.slice in the lab")
    return sum(len(file.read_text().split()) for file in top.rglob("cgroup.procs"))


def fetch(lab: Lab, port: int, path: str = "/") -> tuple[bytes, float]:
    """A whole answer over the lab's network, and the seconds until its first byte; raises ProjctlError."""
    begun = time.monotonic()
    try:
        with lab.connect(port, timeout=PATIENCE) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.recv(1 << 16)
            first_byte = time.monotonic() - begun
            while part := connection.recv(1 << 16):
                answer += part
    except OSError as error:
        raise ProjctlError(f"cannot get an answer from port {port}: {error}") from None
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        raise ProjctlError(f"port {port} answered {answer[:80]!r}, must be 200")
    return answer, first_byte


def wait(what: str, limit: float, condition: Callable[[], bool]) -> None:
    """Look until it is so; raises ProjctlError after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise ProjctlError(f"{what}: not within {limit:.0f} s")
        time.sleep(0.1)


def tell_asleep(lab: Lab) -> dict[str, int]:
    """All sockets listen and no server runs; the ports by project."""
    ports = {}
    for name, project in projects(lab).items():
        if project["state"] != "asleep":
            raise ProjctlError(f"{name} is {project['state']}, must be asleep")
        ports[name] = project["sockets"][0]["port"]
        fact(f"{name:<10} asleep, listens on port {ports[name]}")
    if count := processes(lab):
        raise ProjctlError(f"{count} processes run although all projects are asleep")
    fact("processes in the projects' control groups", "0")
    return ports


def tell_requests(lab: Lab, ports: dict[str, int]) -> None:
    """The first request to each, which starts its server, and a second one for contrast."""
    for name, port in ports.items():
        fact(f"{name:<10} 200, first byte of the first request", seconds(fetch(lab, port)[1]))
        fact(f"{'':<10} 200, first byte of the second", seconds(fetch(lab, port)[1]))


def tell_running(lab: Lab, ports: dict[str, int]) -> dict[str, float]:
    """What runs; when the last byte of each project was there, in seconds since 1970."""
    last: dict[str, float] = {}
    running: dict[str, dict[str, Any]] = {}

    def ask_all() -> bool:
        # again, where this machine is so slow that one was stopped before the others had started
        for name, port in ports.items():
            fetch(lab, port)
            last[name] = time.time()
        running.update(projects(lab))
        return all(project["state"] == "running" for project in running.values())

    wait("all running", PATIENCE, ask_all)
    for name, project in running.items():
        memory = project["memory_bytes"]
        figure = "not known" if memory is None else f"{memory / MEBIBYTE:.1f} MiB"
        fact(f"{name:<10} running as process {project['pid']}, memory", figure)
    fact("processes in the projects' control groups", str(processes(lab)))
    return last


def entries(lab: Lab) -> list[dict[str, str]]:
    """The agent's journal entries about idle projects."""
    text = run(lab, "journalctl", "--quiet", "--output=json", "PROJCTL_EVENT=idle-stop")
    return [json.loads(line) for line in text.splitlines()]


def tell_idle(lab: Lab, last: dict[str, float], idle: dict[str, float]) -> None:
    """Nobody asks: the agent stops each project, measured from its last byte to its entry in the journal."""
    told: set[str] = set()

    def look() -> bool:
        for entry in entries(lab):
            name = entry["PROJCTL_PROJECT"]
            after = int(entry["__REALTIME_TIMESTAMP"]) / 1e6 - last[name]
            if after > 0 and name not in told:
                told.add(name)
                fact(f"{name:<10} stopped; idle: {idle[name]:g} s, since its last byte", seconds(after))
        return told == last.keys()

    wait("idle stop of every project", max(idle.values()) + PATIENCE, look)
    wait("all asleep", PATIENCE, lambda: all(p["state"] == "asleep" for p in projects(lab).values()))
    fact("processes in the projects' control groups", str(processes(lab)))


def tell_metrics(lab: Lab) -> None:
    """What Prometheus gets, the zeros and most of the histogram left out."""
    text = fetch(lab, METRICS_PORT, "/metrics")[0].decode()
    shown = ("projctl_starts_total{", "projctl_stops_total{", "projctl_start_duration_seconds_sum{")
    for line in text.splitlines():
        if line.startswith(shown) and not line.endswith(" 0.0"):
            fact(line)


def tell_journal(lab: Lab) -> None:
    """What the agent decided, and all that one of its entries holds."""
    for entry in entries(lab):
        clock = time.strftime("%H:%M:%S", time.localtime(int(entry["__REALTIME_TIMESTAMP"]) / 1e6))
        fact(f"{clock} {entry['MESSAGE']}")
    for field, value in sorted(entries(lab)[-1].items()):
        if field.startswith("PROJCTL_") or field == "MESSAGE_ID":
            fact(f"    {field}={value}")


def tell_the_end(lab: Lab, before: Traces) -> None:
    """Close the lab and look for anything it left on this machine."""
    own = traces.namespaces(lab.leader)
    begun = time.monotonic()
    lab.close()
    fact("the lab is closed", seconds(time.monotonic() - begun))
    left = {what: found - before[what] for what, found in traces.take(lab.name).items()}
    left["processes"] = traces.processes(own)
    if found := [f"{what} {', '.join(sorted(names))}" for what, names in left.items() if names]:
        raise ProjctlError(f"the lab left behind: {'; '.join(found)}")
    fact(f"{', '.join(sorted(left))} left behind by it", "0")


def tell() -> None:
    """The whole story; raises ProjctlError as soon as something is not as it should be."""
    fleet, problems = manifest.load([MANIFEST], layered=False)
    raise_errors(problems)
    idle = {name: project.idle.stop or 0.0 for name, project in fleet.projects.items()}
    before = traces.take("projctl-lab-")
    heading("A real systemd of its own, with its own network, over this machine's files")
    begun = time.monotonic()
    with Lab.boot(network="private") as lab:
        fact("booted", seconds(time.monotonic() - begun))
        tell_command(lab, "projctl", "agent", "install")
        tell_command(lab, "projctl", "apply", "-f", str(MANIFEST))
        heading("All projects sleep: systemd holds their ports, nothing of theirs runs")
        ports = tell_asleep(lab)
        heading("The first request starts a server; the second finds it running")
        tell_requests(lab, ports)
        heading("Running")
        last = tell_running(lab, ports)
        heading("Nobody asks any more: the agent stops what is idle")
        tell_idle(lab, last, idle)
        heading("Somebody asks again")
        tell_requests(lab, ports)
        heading(f"The agent's metrics, from port {METRICS_PORT}")
        tell_metrics(lab)
        heading("The agent's journal entries")
        tell_journal(lab)
        heading("The end")
        tell_the_end(lab, before)


def main() -> int:
    """Tell the story; 1 and one line when something went wrong, 130 after Ctrl-C."""
    try:
        tell()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more
        return 141
    except (ProjctlError, subprocess.TimeoutExpired, OSError) as error:
        click.echo(f"demo: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
