"""What happened to twenty projects, by the script that did it, by metrics, events and report: the same."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import projctl
from test_agent_events import events
from test_agent_oom import KILL

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = "projctl-agent.service"
SEED = 20260131
#: What ends the runs of a project, how many projects there are of it, and their units.
ROLES: dict[str, tuple[int, dict[str, str]]] = {
    "idle": (6, {"MinUptimeSec": "0"}),
    "crash": (4, {}),
    "manual": (4, {}),
    "start_timeout": (2, {"service": "ExecStart=\nExecStart=/bin/sleep 100\nTimeoutStartSec=1"}),
    "max_runtime": (2, {"service": "RuntimeMaxSec=1"}),
    "oom": (2, {"service": "OOMPolicy=stop"}),
}
ENDS = {"crash": "crashed", "start_timeout": "crashed", "oom": "oom"}


class Subscriber(threading.Thread):
    """Takes events as a program does that must miss none: after a cut it goes on behind the last one it has."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._ended = threading.Event()
        self.cuts = 0
        self.events: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._listen({"after": self.events[-1]["cursor"]} if self.events else {"since": 0})
            except (OSError, ValueError):
                self.cuts += 1
            time.sleep(0.05)

    def _listen(self, more: dict[str, object]) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self._path)
            client.sendall(json.dumps({"get": "events", **more}).encode() + b"\n")
            client.settimeout(0.5)
            buffer = b""
            while not self._ended.is_set():
                try:
                    chunk = client.recv(65536)
                except TimeoutError:
                    continue
                if not chunk:
                    self.cuts += 1
                    return
                *lines, buffer = (buffer + chunk).split(b"\n")
                self.events += [found for line in lines if "event" in (found := json.loads(line))]

    def end(self) -> None:
        self._ended.set()
        self.join(10)


class Script:
    """Does things to projects, and writes down what it did."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.random = random.Random(SEED)
        self.roles = [
            (f"{role.replace('_', '-')}{n}", role) for role, (count, _) in ROLES.items() for n in range(count)
        ]
        self.ports = {name: 6001 + number for number, (name, _) in enumerate(self.roles)}
        self.record: dict[str, list[tuple[str, str | None]]] = defaultdict(list)

    def install(self) -> None:
        for name, role in [*self.roles, ("stays", "manual")]:
            port = self.ports.setdefault(name, 6000)
            settings = {"IdleStopSec": "1" if role == "idle" else "infinity"} | ROLES[role][1]
            self.stage.project(name, str(port), start=False, **settings)
        self.stage.systemctl("daemon-reload")
        self.stage.systemctl("start", *(f"projctl-{name}.socket" for name in self.ports))

    def begin(self, name: str, role: str) -> None:
        """Start it, and end it where it does not end by itself."""
        unit = f"projctl-{name}.service"
        if role == "start_timeout":
            self.stage.systemctl("start", "--no-block", unit)
        elif role == "crash":
            assert self.stage.get(self.ports[name], "/crash") == ""
        else:
            assert self.stage.get(self.ports[name])
        if role == "oom":
            group = self.stage.systemctl("show", "-P", "ControlGroup", unit)
            kills = 1 + self.record[name].count(("oom", "oom"))
            self.stage.lab.run(["/usr/bin/python3", "-c", KILL, group, str(kills)])
        elif role == "manual":
            self.stage.systemctl("stop", unit)
        self.note(name, role)

    def note(self, name: str, reason: str) -> None:
        ready = [] if reason == "start_timeout" else [("ready", None)]
        decided = [("idle_stop", "idle")] if reason == "idle" else []
        self.record[name] += [("starting", None), *ready, *decided, (ENDS.get(reason, "stopped"), reason)]

    def disturb(self) -> None:
        """Restart the agent as an administrator does, or as a crash would."""
        order = self.random.choice([["restart"], ["kill", "-s", "KILL"]])
        self.stage.systemctl(*order, AGENT)

    def round(self, disturbances: int) -> None:
        """A run of every project in random order, the agent disturbed meanwhile, until all have ended."""
        order = self.random.sample(self.roles, len(self.roles))
        when = set(self.random.sample(range(len(order)), disturbances))
        for number, (name, role) in enumerate(order):
            if number in when:
                self.disturb()
            self.begin(name, role)
        units = [f"projctl-{name}.service" for name, _ in self.roles]
        wait_for(lambda: not self._up(units), "the end of all runs", 60)

    def _up(self, units: list[str]) -> set[str]:
        states = self.stage.systemctl("show", "-P", "ActiveState", *units).split()
        return set(states) - {"inactive", "failed"}


def told(found: list[dict[str, Any]]) -> dict[str, list[tuple[str, str | None]]]:
    """By project, what the script writes down too."""
    shown: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for event in found:
        step = (event["event"], event["reason"])
        # An agent that was killed after its decision is followed by one that takes it again.
        again = step == ("idle_stop", "idle") and shown[event["project"]][-1:] == [step]
        if event["event"] != "stopping" and not again:
            shown[event["project"]].append(step)
    return shown


def counted(metrics: dict[tuple[Any, ...], float], name: str) -> tuple[int, dict[str, int]]:
    ends = {
        dict(labels)["reason"]: int(value)
        for (family, *labels), value in metrics.items()
        if family == "projctl_stops_total" and ("project", name) in labels and value
    }
    return int(metrics["projctl_starts_total", ("project", name)]), ends


def reported(stage: Stage) -> dict[str, tuple[int, dict[str, int]]]:
    found = json.loads(projctl(stage.lab, "report", "--since=-1h", "--json").stdout)
    assert {project["name"]: project["failed"] for project in found["projects"] if project["failed"]} == {
        "start-timeout0": 2, "start-timeout1": 2,
    }  # fmt: skip
    return {project["name"]: (project["starts"], project["stops"]) for project in found["projects"]}


def expected(record: list[tuple[str, str | None]]) -> tuple[int, dict[str, int]]:
    ends = Counter(reason for event, reason in record if event in {"stopped", "crashed", "oom"})
    return sum(event == "starting" for event, _ in record), {
        str(reason): count for reason, count in ends.items()
    }


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def test_metrics_and_events_equal_what_was_done(stage: Stage) -> None:
    script = Script(stage)
    script.install()
    subscriber = Subscriber(str(stage.lab.file("/run/projctl/agent.sock")))
    subscriber.start()
    assert stage.get(script.ports["stays"])
    script.record["stays"] = [("starting", None), ("ready", None)]
    script.round(2)
    stage.lab.run(["journalctl", "--rotate"])
    script.round(2)
    assert told(events(stage)) == script.record
    assert reported(stage) == {name: expected(record) for name, record in script.record.items()}
    # The checkpoint is saved when the agent ends; what it was made from goes.
    stage.systemctl("stop", AGENT)
    stage.lab.run(["journalctl", "--rotate"])
    stage.lab.run(["journalctl", "--vacuum-files=1"])
    stage.systemctl("start", AGENT)
    assert "stays" not in told(events(stage))
    script.round(1)
    stage.systemctl("stop", "projctl-stays.service")
    script.record["stays"] += [("stopped", "manual")]
    wait_for(lambda: len(told(subscriber.events)["stays"]) == 3, "the last event")
    subscriber.end()
    assert told(subscriber.events) == script.record
    assert subscriber.cuts >= 3
    metrics = stage.metrics()
    assert {name: counted(metrics, name) for name in script.record} == {
        name: expected(record) for name, record in script.record.items()
    }
