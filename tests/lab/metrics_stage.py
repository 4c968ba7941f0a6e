"""Real servers with access logs and an agent that counts them: what the tests of its metrics act on."""

from __future__ import annotations

import json
import select
import subprocess
from typing import TYPE_CHECKING

import server_cases
from agent_stage import Stage, install_agent
from steps import apply, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projctl.lab import Lab

AGENT = "projctl-agent.service"
#: Ports of those that stand for all.
SERVERS = {"gunicorn": 3601, "uvicorn": 3602, "nginx": 3603, "caddy": 3604}


def set_up(lab: Lab, shared: Path, prefix: str) -> Stage:
    """The servers applied, asleep, and the agent installed."""
    projects = {}
    for name, port in SERVERS.items():
        case = server_cases.every()[name]
        (place := shared / f"{prefix}-{name}").mkdir()
        if case.prepare:
            case.prepare(place)
        env = {"ODD": "", **case.project.get("env", {})}
        projects[name] = {"path": str(place), **case.project, "listen": port, "env": env}
    apply(lab, projects)
    return install_agent(lab)


def ask(stage: Stage, path: str = "/", times: int = 1) -> None:
    """Ask every server."""
    for name, port in SERVERS.items():
        for _ in range(times):
            with stage.lab.connect(port, timeout=60) as connection:
                server_cases.every()[name].exchange(connection, path)


def counted(stage: Stage) -> dict[str, dict[str, int]]:
    """Requests by project and code."""
    found: dict[str, dict[str, int]] = {}
    for (family, *labels), value in stage.metrics().items():
        if family == "projctl_requests_total":
            of = dict(labels)
            found.setdefault(of["project"], {})[of["code"]] = int(value)
    return found


def shown(stage: Stage, name: str) -> set[str]:
    """The metrics that a project has."""
    return {key[0] for key in stage.metrics() if ("project", name) in key}


def running(stage: Stage) -> set[str]:
    return {dict(key[1:])["project"] for key in stage.metrics() if key[0] == "projctl_uptime_seconds"}


def calls(stage: Stage, act: Callable[[], object]) -> list[str]:
    """What systemd is asked about projects while this is done, in the order of the questions."""
    match = "type='method_call',destination='org.freedesktop.systemd1'"
    words = ["busctl", "monitor", "--json=short", "--match", match]
    ping = ["busctl", "call", "org.freedesktop.systemd1", "/", "org.freedesktop.DBus.Peer", "Ping"]
    with stage.lab.popen(words, stdout=subprocess.PIPE) as monitor:
        try:
            wait_for(lambda: stage.lab.run(ping) and bool(select.select([monitor.stdout], [], [], 0.1)[0]))
            act()
        finally:
            monitor.terminate()
        said, _ = monitor.communicate(timeout=30)
    asked = [json.loads(line) for line in said.splitlines()]
    return [call["member"] for call in asked if call["member"] not in {"GetUnitByPID", "Ping"}]
