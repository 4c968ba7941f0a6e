"""What the lab tests do again and again: manifests, verbs, requests, looks at systemd."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from warm import Call

from projctl.diagnostics import ProjctlError
from projctl.lab import PATH, Lab

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).with_name("activated_server.py")
MANIFEST = "/etc/projctl/projects.d/test.yaml"
ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{PATH}", "HOME": "/root", "LANG": "C.UTF-8"}


def server(**more: Any) -> dict[str, Any]:
    """A project that runs the test server."""
    return {"path": str(SERVER.parent), "run": [sys.executable, str(SERVER)], "server": "native", **more}


def write(lab: Lab, projects: Mapping[str, Any], path: str = MANIFEST, **defaults: Any) -> None:
    """Write a manifest in the lab."""
    lab.write(
        path,
        yaml.safe_dump({"version": 1, "defaults": defaults, "projects": dict(projects)}, sort_keys=False),
    )


def projctl(lab: Lab, *words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """A verb of projctl in the lab."""
    result = Call(lab, words, ENVIRONMENT).end(**options)
    if check and result.returncode:
        raise ProjctlError(f"projctl {' '.join(words)}: {result.stderr or result.stdout}")
    return result


def apply(lab: Lab, projects: Mapping[str, Any], **defaults: Any) -> str:
    """Write the manifest and apply it without a trial of the projects; what apply said."""
    write(lab, projects, **defaults)
    return projctl(lab, "apply", "--no-preflight").stdout


def let_everybody_in(lab: Lab) -> None:
    """Let every user of the lab walk to this repository and to its Python, which may lie below /root."""
    places = (ROOT, Path(sys.prefix), Path(sys.base_prefix))
    lab.run(["chmod", "o+x", *{parent for place in places for parent in place.parents}])


def get(lab: Lab, port: int, path: str = "/", host: str = "127.0.0.1", timeout: float = 30.0) -> str:
    """The whole answer of one HTTP request over the lab's network."""
    with lab.connect(port, host, timeout) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
        chunks = iter(lambda: connection.recv(65536), b"")
        return b"".join(chunks).decode()


def properties(lab: Lab, unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit as systemd shows them; without a unit those of the manager."""
    command = ["systemctl", "show", f"--property={','.join(names)}", *([unit] if unit else [])]
    return dict(line.partition("=")[::2] for line in lab.run(command).stdout.splitlines())


def reloads(lab: Lab) -> str:
    """A value that changes with every daemon-reload."""
    return properties(lab, "", "UnitsLoadTimestampMonotonic")["UnitsLoadTimestampMonotonic"]


def projects(lab: Lab) -> dict[str, dict[str, Any]]:
    """What `projctl list --json` says, by name."""
    return {entry["name"]: entry for entry in json.loads(projctl(lab, "list", "--json").stdout)}


def wait_for(what: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until `what` holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
