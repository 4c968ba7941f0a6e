"""What the agent's lab tests act on: an installed agent, hand-made projects, questions to both."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families
from steps import ENVIRONMENT, ROOT, let_everybody_in, projctl

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl.lab import Lab

SERVER = f"{sys.executable} {ROOT}/tests/lab/activated_server.py"
AGENT = "projctl-agent.service"
SYSTEM_UNITS = Path("/etc/systemd/system")
ASK = """
import socket
with socket.socket(socket.AF_UNIX) as s:
    s.connect("%s")
    s.sendall(%r)
    print(s.makefile().readline())
"""


def wait_for(what: Callable[[], object], why: str, seconds: float = 30.0) -> None:
    """Return when `what` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for: {why}"
        time.sleep(0.1)


@dataclass
class Stage:
    """A lab with an agent in it; `user` is whose manager is meant, None for the system's."""

    lab: Lab
    user: str | None = None
    units: Path = SYSTEM_UNITS
    runtime: str = "/run"

    def systemctl(self, *words: str, check: bool = True) -> str:
        flags = ["--user"] if self.user else []
        return self.lab.run(["systemctl", *flags, *words], check=check, user=self.user).stdout.strip()

    def write(self, name: str, text: str) -> None:
        self.lab.write(self.units / name, text)

    def project(
        self,
        name: str,
        listen: str,
        *,
        service: str = "",
        socket: str = "",
        start: bool = True,
        role: str = "server",
        **settings: str,
    ) -> None:
        """Install a project, or one instance (NAME@K), around the activated server and open its socket."""
        unit = f"projctl-{name}"
        listens = f"[Socket]\nListenStream={listen}\nIPAccounting=yes\nNoDelay=yes\n{socket}\n"
        self.write(f"{unit}.socket", listens)
        keys = {
            "Project": name.partition("@")[0],
            "Role": role,
            "Sockets": f"{unit}.socket",
            "IdleStopSec": "1",
        } | settings
        facts = "".join(f"{key}={value}\n" for key, value in keys.items())
        self.write(
            f"{unit}.service",
            f"[Unit]\nPartOf={unit}.socket\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart={SERVER}\n"
            f"KillMode=mixed\nRestart=no\nSuccessExitStatus=143\n{service}\n[X-Projctl]\n{facts}",
        )
        if start:
            self.systemctl("daemon-reload")
            self.systemctl("start", f"{unit}.socket")

    def get(self, port: int, path: str = "/", seconds: float = 30.0) -> str:
        """The body of an answer; empty where the server ends without one."""
        with self.lab.connect(port, timeout=seconds) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    answer += chunk
        return answer.partition(b"\r\n\r\n")[2].decode()

    def state(self, name: str) -> str:
        return self.systemctl("show", "-P", "ActiveState", f"projctl-{name}.service")

    def wait_until_asleep(self, name: str) -> None:
        wait_for(lambda: self.state(name) in {"inactive", "failed"}, f"project {name} asleep")

    def metrics(self) -> dict[tuple[Any, ...], float]:
        """The samples of all projects, by name and labels."""
        text = self.get(9753, "/metrics")
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("projctl_")
        }

    def totals(self, name: str) -> dict[tuple[Any, ...], float]:
        """What only grows, of one project: starts, stops and durations."""
        grows = re.compile("starts|stops|duration")
        return {
            key: value
            for key, value in self.metrics().items()
            if grows.search(key[0]) and ("project", name) in key
        }

    def stops(self, name: str) -> dict[str, int]:
        """Ends of a project by reason, zeros left out."""
        return {
            dict(labels)["reason"]: int(value)
            for (family, *labels), value in self.metrics().items()
            if family == "projctl_stops_total" and ("project", name) in labels and value
        }

    def starts(self, name: str) -> int:
        return int(self.metrics()["projctl_starts_total", ("project", name)])

    def status(self) -> dict[str, dict[str, Any]]:
        """What the local socket tells of each project."""
        projects: dict[str, dict[str, Any]] = self.ask({"get": "status"})["projects"]
        return projects

    def ask(self, request: dict[str, object]) -> dict[str, Any]:
        """What the local socket answers."""
        code = ASK % (f"{self.runtime}/projctl/agent.sock", json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(
            self.lab.run(["/usr/bin/python3", "-c", code], user=self.user).stdout
        )
        assert answer["version"] == 1
        return answer

    def entries(self, **fields: str) -> list[dict[str, str]]:
        """Journal entries that have these fields."""
        words = [f"{key}={value}" for key, value in fields.items()]
        self.lab.run(["journalctl", "--sync"])
        text = self.lab.run(["journalctl", "-o", "json", *words]).stdout
        return [json.loads(line) for line in text.splitlines()]

    def show(self, unit: str, *names: str) -> list[int]:
        """Properties of a unit that are numbers."""
        return [int(self.systemctl("show", "-P", name, unit)) for name in names]

    def invocation(self, name: str) -> str:
        return self.systemctl("show", "-P", "InvocationID", f"projctl-{name}.service")


def install_agent(lab: Lab) -> Stage:
    """Install the agent as an administrator does."""
    projctl(lab, "agent", "install")
    return Stage(lab)


def install_user_agent(lab: Lab, name: str) -> Stage:
    """Install the agent for a user's own manager, as that user does."""
    lab.run(["useradd", "--create-home", "--shell", "/bin/sh", name])
    uid = lab.run(["id", "-u", name]).stdout.strip()
    lab.run(["systemctl", "start", f"user@{uid}.service"])
    let_everybody_in(lab)
    home, runtime = Path("/home") / name, f"/run/user/{uid}"
    environment = ENVIRONMENT | {"HOME": str(home), "XDG_RUNTIME_DIR": runtime, "USER": name}
    words = [sys.executable, "-m", "projctl", "agent", "install", "--user"]
    lab.run(words, user=name, cwd=home, env=environment)
    return Stage(lab, name, home / ".config/systemd/user", runtime)


def _is_ready(stage: Stage) -> bool:
    return stage.systemctl("show", "-P", "ActiveState", AGENT) == "active"


def kill_agent(stage: Stage) -> None:
    """End the agent as a crash would, and wait for systemd to bring it back."""
    before = stage.systemctl("show", "-P", "MainPID", AGENT)
    stage.systemctl("kill", "-s", "KILL", AGENT)
    wait_for(
        lambda: _is_ready(stage) and stage.systemctl("show", "-P", "MainPID", AGENT) != before, "a new agent"
    )
