"""The same without root, on a user's own manager, agent included."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from steps import ENVIRONMENT, SERVER, get, let_everybody_in, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.lab import Lab

UID = "4711"


class User:
    """An ordinary user of the lab whose manager runs."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def run(self, *argv: str, check: bool = True) -> Any:
        environment = ENVIRONMENT | {
            "HOME": "/home/mara",
            "XDG_RUNTIME_DIR": f"/run/user/{UID}",
            "USER": "mara",
        }
        return self.lab.run(argv, user="mara", cwd="/home/mara", env=environment, check=check)

    def projctl(self, *words: str, check: bool = True) -> Any:
        return self.run(sys.executable, "-m", "projctl", *words, check=check)

    def projects(self) -> dict[str, dict[str, Any]]:
        return {entry["name"]: entry for entry in json.loads(self.projctl("list", "--user", "--json").stdout)}


@pytest.fixture
def mara(fresh_lab: Lab) -> Iterator[User]:
    let_everybody_in(fresh_lab)
    fresh_lab.run(["useradd", "--create-home", "--uid", UID, "mara"])
    fresh_lab.run(["systemctl", "start", f"user@{UID}.service"])
    yield User(fresh_lab)
    fresh_lab.run(["systemctl", "stop", f"user@{UID}.service"])


def manifest(lab: Lab, text: str) -> None:
    lab.write("/home/mara/.config/projctl/projects.d/mine.yaml", text)
    lab.run(["chown", "-R", "mara:mara", "/home/mara"])


def test_a_user_needs_no_root(mara: User) -> None:
    manifest(
        mara.lab,
        f"""
version: 1
projects:
  shop: {{path: ., run: [{sys.executable}, {SERVER}], server: native, listen: 3400, idle: {{stop: 3s}}}}
  site: {{path: ., run: "python3 -m http.server --bind $HOST $PORT", listen: 3401}}
  sock: {{path: ., run: [{sys.executable}, {SERVER}], server: native, listen: unix}}
""",
    )
    assert "applied" in mara.projctl("apply", "--user").stdout
    assert "nothing to change" in mara.projctl("apply", "--user").stdout
    assert {entry["state"] for entry in mara.projects().values()} == {"asleep"}
    assert "200 OK" in get(mara.lab, 3400)
    assert "200 OK" in get(mara.lab, 3401)
    assert mara.projects()["sock"]["sockets"][0]["address"] == f"/run/user/{UID}/projctl/sock.sock"
    assert mara.projects()["shop"]["state"] == mara.projects()["site"]["state"] == "running"
    assert "Started projctl-shop.service" in mara.projctl("logs", "--user", "shop").stdout
    mara.projctl("agent", "install", "--user")
    wait_for(lambda: mara.projects()["shop"]["state"] == "asleep", 30)
    assert mara.projects()["shop"]["starts"] == 1
    assert mara.projctl("hold", "--user", "shop", "1h").stdout.startswith("shop: held awake until ")
    assert "200 OK" in get(mara.lab, 3400)
    metrics = get(mara.lab, 9753, "/metrics")
    assert 'projctl_stops_total{project="shop",reason="idle"} 1.0' in metrics
    told = json.loads(mara.projctl("report", "--user", "--since=-1h", "--json").stdout)
    assert {project["name"]: (project["starts"], project["stops"]) for project in told["projects"]} == {
        "shop": (2, {"idle": 1}), "site": (1, {}), "sock": (0, {}),
    }  # fmt: skip
    assert told["never_used"] == ["sock"] and told["kpis"]["cleanup"]["parts"] == {"in_time": 1, "due": 1}
    assert next(project for project in told["projects"] if project["name"] == "shop")["memory_bytes"] > 1e6
    assert "running: held awake by mara until" in mara.projctl("why", "--user", "shop").stdout
    file = f"/run/user/{UID}/projctl/shop/hold"
    with mara.lab.popen(["flock", "--no-fork", file, "sleep", "1000"], user="mara") as holder:
        wait_for(lambda: "by a program of its own" in mara.projctl("why", "--user", "shop").stdout)
        assert mara.projctl("release", "--user", "shop").stdout == "shop: released\n"
        holder.terminate()
    mara.projctl("agent", "uninstall", "--user")
    assert "200 OK" in get(mara.lab, 3400)


def test_what_only_root_can_do_is_refused(mara: User) -> None:
    for line, message in (
        ("{path: ., run: /bin/true, listen: 80}", "80"),
        ("{path: ., run: /bin/true, user: dynamic}", 'cannot use "dynamic" in user mode'),
        ("{path: ., run: /bin/true, user: root}", 'cannot run as user "root" in user mode'),
    ):
        manifest(mara.lab, f"version: 1\nprojects:\n  shop: {line}\n")
        result = mara.projctl("apply", "--user", check=False)
        assert result.returncode == 1
        assert message in result.stderr and "mine.yaml:3:" in result.stderr


def test_an_agent_needs_a_message_bus(mara: User) -> None:
    mara.lab.run(["rm", f"/run/user/{UID}/bus"])
    result = mara.projctl("agent", "install", "--user", check=False)
    assert result.returncode == 1
    assert f"/run/user/{UID}/bus is missing" in result.stderr and "dbus-user-session" in result.stderr
    assert not mara.lab.file("/home/mara/.config/systemd/user").exists()
