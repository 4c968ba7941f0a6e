"""A lab with an agent and a fleet, clients to it, and the journal's own truth about what happened."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_stage import Stage, install_agent
from clients import Record, ask
from steps import projctl, write

from projctl.lab import Lab

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

FIRST_PORT = 10000
#: MESSAGE_IDs of systemd: a unit began to start, was started, was stopped, failed.
_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
#: And of the agent, in its entries.
_IDLE_STOP = "d649923182a64247b971172f532f4fa7"
_FROZEN = "41aab5b8b2230c448b572a0e9266a56a"
_THAWED = "182c48d1f1016f93ab314aa273603dfb"


@dataclass
class Soak:
    """A fleet of projects `p0`, `p1`, … on ports from FIRST_PORT on; `idle` are the times after which they stop."""

    lab: Lab
    agent: Stage
    place: Path
    record: Record = field(default_factory=Record)
    ports: dict[str, int] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)

    def install(self, projects: Mapping[str, Mapping[str, Any]], **defaults: Any) -> None:
        """Write and apply the manifest; each project gets a port."""
        self.ports = {name: FIRST_PORT + number for number, name in enumerate(projects)}
        policies = {name: project["idle"] for name, project in projects.items() if "idle" in project}
        self.idle = {
            n: policy["stop"] if isinstance(policy, dict) else policy for n, policy in policies.items()
        }
        listening = {name: {**project, "listen": self.ports[name]} for name, project in projects.items()}
        write(self.lab, listening, **defaults)
        projctl(self.lab, "apply", "--no-preflight", timeout=600)

    async def ask(self, name: str) -> None:
        """One request to a project."""
        await ask(self._new_socket, self.ports[name], self.record)

    def _new_socket(self) -> socket.socket:
        return self.lab.new_socket()

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Journal entries."""
        self.lab.run(["journalctl", "--sync"])
        said = self.lab.run(["journalctl", "-o", "json", "--all", *matches], timeout=300).stdout
        return [json.loads(line) for line in said.splitlines()]

    def starts(self) -> dict[str, int]:
        """How often PID 1 began to start each project's service, by its own entries."""
        found = self.entries(f"MESSAGE_ID={_STARTING}", "_PID=1")
        units = collections.Counter(entry.get("UNIT", "") for entry in found)
        return {name: units[f"projctl-{name}.service"] for name in self.ports}

    def idle_stops(self) -> dict[str, list[tuple[float, str]]]:
        """When the agent decided to stop each project, and which run; one that was killed may decide twice."""
        found: dict[str, list[tuple[float, str]]] = {name: [] for name in self.ports}
        for entry in self._told(_IDLE_STOP):
            if entry["PROJCTL_PROJECT"] in found:
                when = int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6
                found[entry["PROJCTL_PROJECT"]].append((when, entry["PROJCTL_INVOCATION_ID"]))
        return found

    def frosts(self) -> tuple[int, dict[str, int]]:
        """How often the agent froze a project, and how often one went on by what called for it, by its entries."""
        thaws = collections.Counter(entry["PROJCTL_REASON"] for entry in self._told(_THAWED))
        return len(self._told(_FROZEN)), dict(thaws.most_common())

    def _told(self, message: str) -> list[dict[str, Any]]:
        return self.entries(f"MESSAGE_ID={message}", "_SYSTEMD_UNIT=projctl-agent.service")

    def frozen_seconds(self) -> float:
        """Seconds of frost by the agent's totals, which outlive the journal."""
        found = self.agent.metrics().items()
        return sum(value for (family, *_), value in found if family == "projctl_frozen_seconds_total")

    def served(self) -> dict[str, int]:
        """How often each project's server began to work, as it told itself where `tells` said."""
        files = {name: self.place / name for name in self.ports}
        return {
            name: len(set(file.read_text().splitlines())) if file.exists() else 0
            for name, file in files.items()
        }

    def tells(self, name: str) -> dict[str, str]:
        """The variable that lets a server with the settings in `starts.py` tell of its starts."""
        return {"STARTS": str(self.place / name)}

    def counted(self) -> tuple[dict[str, int], dict[str, int]]:
        """The agent's totals: starts and idle stops by project."""
        starts = collections.Counter[str]()
        stops = collections.Counter[str]()
        for (family, *labels), value in self.agent.metrics().items():
            named = dict(labels)
            if family == "projctl_starts_total":
                starts[named["project"]] += int(value)
            elif family == "projctl_stops_total" and named["reason"] == "idle":
                stops[named["project"]] += int(value)
        return dict(starts), dict(stops)

    def states(self) -> dict[str, str]:
        """The state of each project as `projctl list` has it."""
        found = json.loads(projctl(self.lab, "list", "--json", timeout=120).stdout)
        return {project["name"]: project["state"] for project in found}

    async def wait_until_all_sleep(self, seconds: float) -> dict[str, str]:
        """Those that do not sleep when they all do, or after so many seconds."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            states = await asyncio.to_thread(self.states)
            awake = {name: state for name, state in states.items() if state != "asleep"}
            if not awake or asyncio.get_running_loop().time() > deadline:
                return awake
            await asyncio.sleep(1)

    def wrong_stops(self, tolerance: float = 0.25) -> list[str]:
        """Idle stops that came although somebody had used the project within its idle time, or was using it."""
        wrong = []
        for name, stops in self.idle_stops().items():
            requests, idle = self.record.requests[self.ports[name]], self.idle[name]
            for when, _ in stops:
                used = [
                    r for r in requests if r.began < when - tolerance and r.ended > when - idle + tolerance
                ]
                wrong += [f"{name} at {when:.3f}: used until {r.ended:.3f}" for r in used]
        return wrong


@contextlib.contextmanager
def soak() -> Iterator[Soak]:
    """A lab with an agent, and a directory that both sides see."""
    with tempfile.TemporaryDirectory() as directory, Lab.boot(binds=[Path(directory)]) as lab:
        Path(directory).chmod(0o755)
        yield Soak(lab, install_agent(lab), Path(directory))
