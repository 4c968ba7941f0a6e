"""A sandboxed project starts wherever it lies, and sees nothing else of what the sandbox hides."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from steps import apply, get, projctl

if TYPE_CHECKING:
    from projctl.lab import Lab

#: Answers with what it sees: its user, the neighbours of its directory, what it can write to.
SPY = """
import json, os, socket
from pathlib import Path

def writable(path):
    try:
        Path(path, "spy.tmp").touch()
    except OSError:
        return False
    return True

seen = {
    "uid": os.getuid(),
    "home": sorted(os.listdir("/home")),
    "neighbours": sorted(os.listdir("..")),
    "etc": writable("/etc"),
    "own": writable("."),
    "state": writable(os.environ.get("STATE_DIRECTORY", "/nonexistent")),
}
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + json.dumps(seen).encode())
    connection.close()
"""


def look(lab: Lab, directory: str, **more: Any) -> dict[str, Any]:
    lab.write(f"{directory}/spy.py", SPY)
    lab.write(f"{directory}/../neighbour", "secret")
    if user := more.get("user"):
        lab.run(["useradd", "--no-create-home", user], check=False)
        if user != "dynamic":
            lab.run(["chown", "-R", user, directory])
    run = [sys.executable, "spy.py"]
    apply(lab, {"spy": {"path": directory, "run": run, "server": "native", "listen": 3400, **more}})
    seen: dict[str, Any] = json.loads(get(lab, 3400).partition("\r\n\r\n")[2])
    apply(lab, {})
    return seen


@pytest.mark.parametrize(
    "directory", ["/home/mia/app", "/root/app", "/tmp/deep/app", "/var/tmp/deep/app", "/srv/x/app"]
)
def test_strict_project_with_a_user_of_its_own(fresh_lab: Lab, directory: str) -> None:
    seen = look(fresh_lab, directory, user="mia", sandbox="strict")
    assert seen["uid"] >= 1000 and seen["own"] and not seen["etc"]
    hidden = not directory.startswith("/srv")
    assert ("neighbour" in seen["neighbours"]) != hidden
    assert not hidden or set(seen["neighbours"]) <= {
        "app",
        *Path(sys.prefix).parts,
        *Path(sys.base_prefix).parts,
    }


@pytest.mark.parametrize("directory", ["/root/app", "/home/mia/app", "/srv/x/app"])
def test_dynamic_user_reads_its_directory_and_writes_its_state(fresh_lab: Lab, directory: str) -> None:
    fresh_lab.write("/home/other/file", "")
    seen = look(fresh_lab, directory, user="dynamic")
    assert 61184 <= seen["uid"] <= 65519
    assert not seen["own"] and not seen["etc"] and seen["state"]
    assert "neighbour" not in seen["neighbours"] or directory.startswith("/srv")


def test_strict_root_keeps_to_its_directory(fresh_lab: Lab) -> None:
    seen = look(fresh_lab, "/srv/x/app", sandbox="strict")
    assert (seen["uid"], seen["own"], seen["etc"], seen["home"]) == (0, True, False, [])


def test_basic_changes_no_view_of_files(fresh_lab: Lab) -> None:
    seen = look(fresh_lab, "/srv/x/app", sandbox="basic")
    assert (seen["uid"], seen["own"], seen["etc"]) == (0, True, True)


def test_strict_is_rated_ok(fresh_lab: Lab) -> None:
    fresh_lab.write("/srv/x/app/spy.py", SPY)
    fresh_lab.run(["useradd", "mia"])
    fresh_lab.run(["chown", "-R", "mia", "/srv/x/app"])
    project = {"path": "/srv/x/app", "run": [sys.executable, "spy.py"], "server": "native", "user": "mia"}
    apply(fresh_lab, {"spy": {**project, "sandbox": "strict"}})
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=50"]
    said = fresh_lab.run([*command, "/etc/systemd/system/projctl-spy.service"]).stdout
    assert " OK " in said.strip().splitlines()[-1]
    assert projctl(fresh_lab, "check").stderr == ""
