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

if TYPE_CHECKING:
    from collections.abc import Callable

    from projctl.lab import Lab

ROOT = Path(__file__).parents[2]
SERVER = f"{sys.executable} {ROOT}/tests/lab/activated_server.py"
SYSTEM_UNITS = Path("/etc/systemd/system")
ASK = """
import socket
with socket.socket(socket.AF_UNIX) as s:
    s.connect("%s")
    s.sendall(b'{"get":"status"}\\n')
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
        start: bool = True,
        role: str = "server",
        **settings: str,
    ) -> None:
        """Install a project around the activated server and open its socket."""
        unit = f"projctl-{name}"
        self.write(f"{unit}.socket", f"[Socket]\nListenStream={listen}\nIPAccounting=yes\nNoDelay=yes\n")
        keys = {"Project": name, "Role": role, "Sockets": f"{unit}.socket", "IdleStopSec": "1"} | settings
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
        """What the local socket answers."""
        code = ASK % f"{self.runtime}/projctl/agent.sock"
        answer = json.loads(self.lab.run(["/usr/bin/python3", "-c", code], user=self.user).stdout)
        assert answer["version"] == 1
        projects: dict[str, dict[str, Any]] = answer["projects"]
        return projects

    def entries(self, **fields: str) -> list[dict[str, str]]:
        """Journal entries that have these fields."""
        words = [f"{key}={value}" for key, value in fields.items()]
        self.lab.run(["journalctl", "--sync"])
        text = self.lab.run(["journalctl", "-o", "json", *words]).stdout
        return [json.loads(line) for line in text.splitlines()]

    def invocation(self, name: str) -> str:
        return self.systemctl("show", "-P", "InvocationID", f"projctl-{name}.service")


def command_drop_in() -> str:
    """The drop-in that runs the agent from this tree with this Python, wherever both lie."""
    lines = ["[Service]", "ExecStart=", f"ExecStart={sys.executable} -m projctl_agent"]
    lines += [f"Environment=PYTHONPATH={ROOT}/agent PYTHONDONTWRITEBYTECODE=1"]
    places = {Path(place).resolve() for place in (ROOT, sys.prefix, sys.base_prefix)}
    hidden = sorted(place for place in places if place.parts[1] in {"root", "home"})
    if hidden:
        lines += ["ProtectHome=tmpfs", *(f"BindReadOnlyPaths={place}" for place in hidden)]
    return "\n".join([*lines, ""])


def install_agent(lab: Lab) -> Stage:
    """Install the agent as shipped, and start it."""
    stage = Stage(lab)
    for kind in ("projctl-agent.service", "projctl-agent.socket", "projctl-agent-metrics.socket"):
        stage.write(kind, (ROOT / "units" / kind).read_text())
    for source, place in (
        ("sysusers", "/etc/sysusers.d/projctl-agent.conf"),
        ("rules", "/etc/polkit-1/rules.d/50-projctl-agent.rules"),
        ("catalog", "/usr/lib/systemd/catalog/projctl-agent.catalog"),
    ):
        lab.write(place, (ROOT / "units" / f"projctl-agent.{source}").read_text())
    stage.write("projctl-agent.service.d/command.conf", command_drop_in())
    lab.run(["systemd-sysusers"])
    lab.run(["journalctl", "--update-catalog"])
    stage.systemctl("daemon-reload")
    stage.systemctl("start", "projctl-agent.socket", "projctl-agent-metrics.socket", "projctl-agent.service")
    return stage


def install_user_agent(lab: Lab, user: str) -> Stage:
    """Install the same units for a user's own manager, with what differs there in a drop-in."""
    lab.run(["useradd", "--create-home", "--shell", "/bin/sh", user])
    uid = lab.run(["id", "-u", user]).stdout.strip()
    lab.run(["systemctl", "start", f"user@{uid}.service"])
    home = Path("/home") / user
    stage = Stage(lab, user, home / ".config/systemd/user", f"/run/user/{uid}")
    for kind in ("projctl-agent.service", "projctl-agent.socket", "projctl-agent-metrics.socket"):
        stage.write(kind, (ROOT / "units" / kind).read_text())
    stage.write("projctl-agent.service.d/command.conf", user_drop_in())
    lab.run(["chown", "-R", f"{user}:", home])
    for place in (ROOT, Path(sys.prefix), Path(sys.base_prefix)):
        lab.run(["chmod", "o+x", *place.parents])  # in the lab alone: a user cannot bind a hidden interpreter
    stage.systemctl("daemon-reload")
    stage.systemctl("start", "projctl-agent.socket", "projctl-agent-metrics.socket", "projctl-agent.service")
    return stage


def user_drop_in() -> str:
    """What a user's manager needs otherwise: its own identity, its runtime directory, no rights to give up."""
    resets = ("User", "SupplementaryGroups", "IPAddressDeny", "IPAddressAllow", "SocketBindDeny")
    lines = [line for line in command_drop_in().splitlines() if not line.startswith(("ProtectHome", "Bind"))]
    lines = [line.replace("-m projctl_agent", "-m projctl_agent --user") for line in lines]
    # These take capabilities out of the bounding set, which a user's manager may not.
    privileged = (
        "ProtectClock",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "PrivateDevices",
    )
    lines += [*(f"{key}=" for key in resets), *(f"{key}=no" for key in (*privileged, "ProtectHome"))]
    return "\n".join([*lines, "CapabilityBoundingSet=~", ""])
