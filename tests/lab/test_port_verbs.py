"""Ports on a real systemd: what the verbs say, damage and its repair, two applies at once, kills at every write."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from steps import ENVIRONMENT, apply, get, projctl, projects, server, wait_for, write
from warm import Call

from projctl.registry import loads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.lab import Lab

UNITS, STATE = "/etc/systemd/system", "/var/lib/projctl"
REGISTRY = f"{STATE}/ports.json"
ROUNDS = 40
#: The long tests come in so many parts, which run beside each other.
PARTS = 3
PROXIED = {"path": "/srv", "run": "python3 -m http.server --bind $HOST $PORT"}


@pytest.fixture
def clean_lab(lab: Lab) -> Iterator[Lab]:
    """The session's lab with an empty state directory, and no project left in it."""
    lab.run(["rm", "-rf", STATE])
    yield lab
    apply(lab, {})
    lab.run(["rm", "-rf", STATE, "/srv/one.yaml", "/srv/two.yaml"])


def given(lab: Lab) -> dict[tuple[str, str], int]:
    """The ports in the registry."""
    return {key: entry.port for key, entry in loads(lab.file(REGISTRY).read_text()).entries.items()}


def listening(lab: Lab) -> dict[str, str]:
    """What every socket unit of ours has open."""
    listed = json.loads(lab.run(["systemctl", "list-sockets", "--output=json"]).stdout)
    return {row["unit"]: row["listen"] for row in listed if row["unit"].startswith("projctl-")}


def tidy(lab: Lab) -> bool:
    """Whether no half-written file lies anywhere."""
    places = (lab.file(UNITS), lab.file(STATE))
    return not [path for place in places for path in place.iterdir() if path.name.startswith(".")]


def on_terminal(lab: Lab, columns: int, *words: str, **more: str) -> list[str]:
    """What a verb shows on a terminal of that many columns."""
    command = " ".join([sys.executable, "-m", "projctl", *words])
    environment = {**ENVIRONMENT, "COLUMNS": str(columns), **more}
    shown = lab.run(["script", "-qec", command, "/dev/null"], env=environment)
    return shown.stdout.replace("\r", "").splitlines()


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


# --- the verbs


def test_list_fits_every_terminal_and_is_plain_in_a_pipe(clean_lab: Lab) -> None:
    shops = {"a-shop-with-a-long-name": server(listen={"http": 3400, "admin": "127.0.0.1:3401"})}
    apply(clean_lab, {**shops, "pool": server(listen="auto:5001-5002", instances=2)})
    get(clean_lab, 3400)
    piped = projctl(clean_lab, "list").stdout
    assert "\x1b" not in piped
    heading, *rows = [line.split("\t") for line in piped.splitlines()]
    assert heading == ["NAME", "STATE", "PID", "PORTS", "CPU", "MEMORY", "UPTIME", "IDLE", "STARTS"]
    assert [row[0] for row in rows] == ["a-shop-with-a-long-name", "pool@0", "pool@1"]
    assert rows[0][1] == "running" and set(rows[0][3].split(",")) == {"3400", "127.0.0.1:3401"}
    for columns in (200, 80, 60, 30):
        lines = on_terminal(clean_lab, columns, "list")
        assert len(lines) == 4
        assert max(len(plain(line)) for line in lines) <= columns
        assert "\x1b[32m" in lines[1] and "running" in plain(lines[1])
        assert plain(lines[0]).split()[:2] == ["NAME", "STATE"]
        assert [plain(line).split()[0] for line in lines[2:]] == ["pool@0", "pool@1"]
        assert all("\x1b" not in line for line in on_terminal(clean_lab, columns, "list", NO_COLOR="1"))


def test_info_tells_everything_but_the_values_of_variables(clean_lab: Lab) -> None:
    apply(
        clean_lab, {"shop": server(listen=3400, env={"SECRET": "hunter2"}, idle="15m", limits={"tasks": 50})}
    )
    clean_lab.write(
        f"{UNITS}/projctl-shop.service.d/more.conf", "[Service]\nEnvironment=EXTRA=1\nTasksMax=60\n"
    )
    try:
        clean_lab.run(["systemctl", "daemon-reload"])
        get(clean_lab, 3400)
        projctl(clean_lab, "stop", "shop")
        wait_for(lambda: "Deactivated" in projctl(clean_lab, "info", "shop").stdout)
        said = projctl(clean_lab, "info", "shop").stdout
        found = json.loads(projctl(clean_lab, "info", "shop", "--json", "-n", "3").stdout)
    finally:
        clean_lab.run(["rm", "-r", f"{UNITS}/projctl-shop.service.d"])
        clean_lab.run(["systemctl", "daemon-reload"])
    assert "hunter2" not in said + json.dumps(found)
    for expected in (
        "shop: asleep", "(http)", f"{UNITS}/projctl-shop.service.d/more.conf (drop-in)", "SECRET", "EXTRA",
        "/etc/projctl/projects.d/test.yaml:", "native", "TasksMax=60", "stops after 15min", "last stop",
    ):  # fmt: skip
        assert expected in said
    assert [unit["name"] for unit in found["units"]] == ["projctl-shop.service", "projctl-shop.socket"]
    assert found["user"] == "root" and (found["idle"]["stop"], found["idle"]["min_uptime"]) == (900.0, 0.0)
    assert len(found["log"]) == 3


def test_info_of_a_project_with_instances_tells_of_each(clean_lab: Lab) -> None:
    apply(clean_lab, {"pool": server(listen="auto:5001-5002", instances=2)})
    both = json.loads(projctl(clean_lab, "info", "pool", "--json").stdout)
    assert [one["name"] for one in both] == ["pool@0", "pool@1"]
    assert json.loads(projctl(clean_lab, "info", "pool@1", "--json").stdout)["name"] == "pool@1"
    missing = projctl(clean_lab, "info", "nobody", check=False)
    assert missing.returncode == 1 and 'cannot find the project "nobody"' in missing.stderr


def test_foreign_listeners_and_socket_units_are_seen_everywhere(clean_lab: Lab) -> None:
    code = (
        "import socket,time; s=socket.create_server(('127.0.0.1', 5001)); print(flush=True); time.sleep(300)"
    )
    listener = clean_lab.popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    clean_lab.write(f"{UNITS}/foreign.socket", "[Socket]\nListenStream=5002\nAccept=yes\n")
    clean_lab.write(f"{UNITS}/foreign@.service", "[Service]\nExecStart=/bin/true\n")
    try:
        assert listener.stdout and listener.stdout.readline() == "\n"
        clean_lab.run(["systemctl", "start", "foreign.socket"])
        apply(clean_lab, {"shop": server(), "files": PROXIED})
        assert given(clean_lab)["shop", "http"] == 5003 and given(clean_lab)["files", "http"] == 5004
        assert projctl(clean_lab, "ports", "--free", "2").stdout == "5005\n5006\n"
        found = json.loads(projctl(clean_lab, "ports", "--json").stdout)
        first = found["ranges"][0]
        assert (first["used"], first["others"], first["free"]) == (2, 2, 96)
        for port, who in ((5001, 'process "python'), (5002, "systemd unit foreign.socket")):
            write(clean_lab, {"shop": server(), "files": PROXIED, "bad": server(listen=port)})
            refused = projctl(clean_lab, "apply", check=False)
            assert refused.returncode == 1 and f"port {port} is taken by {who}" in refused.stderr
    finally:
        listener.kill()
        listener.wait()
        if listener.stdout:
            listener.stdout.close()
        clean_lab.run(["systemctl", "stop", "foreign.socket"])
        clean_lab.run(["rm", f"{UNITS}/foreign.socket", f"{UNITS}/foreign@.service"])


def test_ports_are_listed_and_those_of_a_project_that_is_gone_can_be_forgotten(clean_lab: Lab) -> None:
    apply(clean_lab, {"shop": server(), "files": PROXIED})
    found = json.loads(projctl(clean_lab, "ports", "--json").stdout)
    rows = {(row["project"], row["socket"]): row for row in found["ports"]}
    assert {key: row["port"] for key, row in rows.items()} == given(clean_lab)
    assert all(row["installed"] and row["since"] for row in rows.values())
    assert rows["files", "backend"]["host"] == "127.0.0.1"
    assert max(len(plain(line)) for line in on_terminal(clean_lab, 40, "ports")) <= 40
    refused = projctl(clean_lab, "ports", "release", "shop", check=False)
    assert refused.returncode == 1 and "remove it from /etc/projctl/projects.d/test.yaml" in refused.stderr
    apply(clean_lab, {"files": PROXIED})
    released = json.loads(projctl(clean_lab, "ports", "--json").stdout)["released"]
    assert [(row["project"], row["port"]) for row in released] == [("shop", 5001)]
    assert projctl(clean_lab, "ports", "release", "shop").stdout == "forgot port 5001 (shop, http)\n"
    assert json.loads(projctl(clean_lab, "ports", "--json").stdout)["released"] == []
    assert projctl(clean_lab, "ports", "release", "shop", check=False).returncode == 1
    assert tidy(clean_lab)


# --- damage


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "gone"])
def test_a_damaged_registry_loses_nothing_that_is_in_use(clean_lab: Lab, damage: str) -> None:
    fleet = {"b": server(), "files": PROXIED, "pool": server(listen="auto:5050-5051", instances=2)}
    apply(clean_lab, {"a": server(), **fleet})
    apply(clean_lab, fleet)
    before, whole = given(clean_lab), clean_lab.file(REGISTRY).read_text()
    damaged = {"cut": whole[: len(whole) // 2], "garbage": "\x00\ufffd[{", "empty": "", "gone": ""}[damage]
    clean_lab.write(REGISTRY, damaged)
    if damage == "gone":
        clean_lab.run(["rm", REGISTRY])
    looked = projctl(clean_lab, "ports", "--json")
    assert {(r["project"], r["socket"]): r["port"] for r in json.loads(looked.stdout)["ports"]} == before
    assert (
        looked.stderr.startswith("warning: cannot ") and "rebuilt from the installed units" in looked.stderr
    )
    assert clean_lab.file(REGISTRY).exists() is (damage != "gone")
    write(clean_lab, {"name": server(), **fleet})
    applied = projctl(clean_lab, "apply")
    assert "rebuilt from the installed units" in applied.stderr
    after = given(clean_lab)
    assert {key: after[key] for key in before} == before
    assert after["name", "http"] not in before.values()
    kept = sorted(clean_lab.file(STATE).glob("ports.json.damaged-*"))
    assert [path.read_text() for path in kept] == ([] if damage == "gone" else [damaged])
    assert projctl(clean_lab, "apply").stderr == ""


# --- two at once


@pytest.mark.parametrize("part", range(PARTS))
def test_two_applies_at_once_never_give_a_port_twice_and_lose_none(fresh_lab: Lab, part: int) -> None:
    write(fresh_lab, {})
    for number in range(part, ROUNDS, PARTS):
        names = {side: {f"{side}{n}" for n in range(1 + (number + offset) % 3)}
                 for offset, side in enumerate(("one", "two"))}  # fmt: skip
        for side, fleet in names.items():
            write(fresh_lab, {name: server(listen="auto:5001-5009") for name in fleet}, f"/srv/{side}.yaml")
        # Whoever comes third finds nothing left to do but to wait.
        running = [start(fresh_lab, f"/srv/{side}.yaml") for side in (*names, "one")]
        for call in running:
            ended = call.end(timeout=120)
            assert (ended.returncode, ended.stderr) == (0, "")
        ports = given(fresh_lab)
        assert {project for project, _ in ports} == names["one"] | names["two"]
        assert len(set(ports.values())) == len(ports)
        assert listening(fresh_lab) == {
            f"projctl-{name}.socket": f"[::]:{port}" for (name, _), port in ports.items()
        }


def start(lab: Lab, manifest: str) -> Call:
    return Call(lab, ["apply", "-f", manifest, "--no-preflight"], ENVIRONMENT)


# --- killed


BEFORE: dict[str, Any] = {"keeps": server(), "moves": server(), "goes": PROXIED}
AFTER: dict[str, Any] = {"keeps": server(env={"A": "b"}), "moves": server(listen=3400), "new": server()}


def picture(lab: Lab) -> dict[str, Any]:
    """Everything that an apply makes: units, links, ports and who has them."""
    top = lab.file(UNITS)
    files = {
        str(path.relative_to(top)): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in sorted(top.rglob("projctl*"))
        if path.is_symlink() or path.is_file()
    }
    return {"files": files, "given": given(lab), "listening": listening(lab)}


def differences(found: dict[str, Any], goal: dict[str, Any]) -> list[str]:
    """Where two pictures differ, in few words."""
    return [
        f"{part} {name}: {found[part].get(name)!r}, not {goal[part].get(name)!r}"
        for part in goal
        for name in found[part].keys() | goal[part].keys()
        if found[part].get(name) != goal[part].get(name)
    ]


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_any_write_the_next_apply_converges(clean_lab: Lab, part: int) -> None:
    goals: list[dict[str, Any]] = [{}, {}]
    fleets = [BEFORE, AFTER]
    for side in (0, 1, 0, 1):
        apply(clean_lab, fleets[side])
        goals[side] = picture(clean_lab)
    # An odd step, so that it goes from one fleet to the other and back.
    survived, number, kills = 0, part + 1 - PARTS, 0
    while survived < 2:
        number += PARTS
        side = number % 2
        survived = survived + 1 if survives(clean_lab, fleets[side], number) else 0
        kills += survived == 0
        assert differences(picture(clean_lab), goals[side]) == []
        assert tidy(clean_lab)
    assert kills >= 20 // PARTS
    assert projects(clean_lab)["moves"]["state"] == "asleep"


def survives(lab: Lab, after: dict[str, Any], number: int) -> bool:
    """Go from one fleet to the other with a kill before the change of that number; whether there were fewer."""
    write(lab, after)
    script = Path(__file__).with_name("killed.py")
    result = Call(lab, [str(script), str(number), "apply", "--no-preflight"], ENVIRONMENT).end()
    assert result.returncode in (0, 137), result.stderr
    if lab.file(REGISTRY).exists():
        loads(lab.file(REGISTRY).read_text())
    again = projctl(lab, "apply", "--no-preflight")
    assert again.stderr == ""
    if number % 5 == 0:
        assert projctl(lab, "apply", "--no-preflight").stdout == "nothing to change\n"
    return result.returncode == 0
