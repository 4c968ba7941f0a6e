"""Every server in `servers/` under the agent: asked, stopped when idle, and started anew by the next request."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
import server_cases
from agent_stage import Stage, install_agent, wait_for
from server_cases import ODD
from steps import apply, let_everybody_in

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASES = server_cases.every()
PORTS = {name: 3400 + 10 * number for number, name in enumerate(CASES)}
IDLE_STOP = "d649923182a64247b971172f532f4fa7"


@pytest.fixture(scope="module")
def stage(_nothing_left: None, _shared: Path) -> Iterator[Stage]:
    """All of them, asleep, and the agent."""
    with Lab.boot(binds=[_shared]) as lab:
        let_everybody_in(lab)
        apply(lab, {name: _project(name, _shared / f"idle-{name}") for name in CASES}, idle=2)
        yield install_agent(lab)


def _project(name: str, place: Path) -> dict[str, object]:
    case, port = CASES[name], PORTS[name]
    place.mkdir()
    if case.prepare:
        case.prepare(place)
    sockets = {f"s{number}": port + number for number in range(case.sockets)}
    env = {**case.project.get("env", {}), "ODD": ODD}
    return {"path": str(place), **case.project, "env": env, "listen": sockets if len(sockets) > 1 else port}


def test_every_server_is_stopped_when_idle_and_started_again(stage: Stage) -> None:
    for times in (1, 2):
        with ThreadPoolExecutor(3) as pool:  # so many start at a time
            statuses = pool.map(partial(_status, stage), CASES)
            assert dict(zip(CASES, statuses, strict=True)) == dict.fromkeys(CASES, 200)
        ends = {name: {"idle": times} for name in CASES}
        wait_for(lambda ends=ends: _stops(stage) == ends, "all asleep", 60)
    stopped = stage.entries(MESSAGE_ID=IDLE_STOP)
    runs = {(entry["PROJCTL_PROJECT"], entry["PROJCTL_INVOCATION_ID"]) for entry in stopped}
    assert Counter(project for project, _ in runs) == dict.fromkeys(CASES, 2)
    assert (
        stage.systemctl("list-units", "--no-legend", "projctl-*.backend.service") == ""
    )  # stopped with their proxies
    shown = stage.status()
    expected = dict.fromkeys(CASES, ("asleep", 2))
    assert {name: (shown[name]["state"], shown[name]["starts"]) for name in CASES} == expected


def _status(stage: Stage, name: str) -> int:
    with stage.lab.connect(PORTS[name], timeout=60) as connection:
        return CASES[name].exchange(connection, "/").status


def _stops(stage: Stage) -> dict[str, dict[str, int]]:
    """Ends of all projects by reason."""
    found: dict[str, dict[str, int]] = {name: {} for name in CASES}
    for (family, *labels), value in stage.metrics().items():
        if family == "projctl_stops_total" and value:
            found[dict(labels)["project"]][dict(labels)["reason"]] = int(value)
    return found
