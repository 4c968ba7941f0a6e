"""Several servers of one project, several sockets of one server, readiness, private networks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from steps import SERVER, apply, get, projctl, projects, properties, server, wait_for, write

if TYPE_CHECKING:
    from projctl.lab import Lab

HTTP = "python3 -m http.server --bind $HOST $PORT"


def test_each_instance_has_its_port(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen="3400-3403", instances=3)})
    assert [entry["sockets"][0]["port"] for entry in projects(fresh_lab).values()] == [3400, 3401, 3402]
    assert "200 OK" in get(fresh_lab, 3401)
    states = {name: entry["state"] for name, entry in projects(fresh_lab).items()}
    assert states == {"shop@0": "asleep", "shop@1": "running", "shop@2": "asleep"}
    environment = (
        fresh_lab.file(f"/proc/{projects(fresh_lab)['shop@1']['pid']}/environ").read_text().split("\0")
    )
    for variable in ("PORT=3401", "PROJCTL_INSTANCE=1", "PM2_INSTANCE_ID=1", "NODE_APP_INSTANCE=1"):
        assert variable in environment
    projctl(fresh_lab, "start", "shop")
    before = {name: entry["pid"] for name, entry in projects(fresh_lab).items()}
    assert all(before.values())
    projctl(fresh_lab, "restart", "shop@2")
    after = {name: entry["pid"] for name, entry in projects(fresh_lab).items()}
    assert [name for name in before if before[name] != after[name]] == ["shop@2"]
    projctl(fresh_lab, "stop", "shop")
    assert {entry["state"] for entry in projects(fresh_lab).values()} == {"asleep"}


def test_instances_share_a_port_and_all_serve(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400, instances=3)})
    for _ in range(60):
        assert "200 OK" in get(fresh_lab, 3400)
    assert {entry["state"] for entry in projects(fresh_lab).values()} == {"running"}
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"
    # Fewer of them: those that stay are not touched.
    before = projects(fresh_lab)["shop@0"]["pid"]
    apply(fresh_lab, {"shop": server(listen=3400, instances=2)})
    assert sorted(projects(fresh_lab)) == ["shop@0", "shop@1"]
    assert projects(fresh_lab)["shop@0"]["pid"] == before
    assert "200 OK" in get(fresh_lab, 3400)


def test_instances_restart_one_after_the_other(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen="auto:6000-6009", instances=2)})
    projctl(fresh_lab, "start", "shop")
    projctl(fresh_lab, "restart", "shop")
    times = [
        properties(
            fresh_lab,
            f"projctl-shop@{number}.service",
            "InactiveEnterTimestampMonotonic",
            "ActiveEnterTimestampMonotonic",
        )
        for number in range(2)
    ]
    assert int(times[1]["InactiveEnterTimestampMonotonic"]) > int(times[0]["ActiveEnterTimestampMonotonic"])


def test_proxied_instances(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"files": {"path": "/srv", "run": HTTP, "listen": "3400-3401", "instances": 2}})
    assert "200 OK" in get(fresh_lab, 3400) and "200 OK" in get(fresh_lab, 3401)
    assert {entry["state"] for entry in projects(fresh_lab).values()} == {"running"}
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"


def test_a_server_that_ignores_host_keeps_its_private_port(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"files": {"path": "/srv", "run": "python3 -m http.server $PORT", "listen": 3400}})
    assert "200 OK" in get(fresh_lab, 3400)
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"


def test_a_socket_that_does_not_wake(fresh_lab: Lab) -> None:
    listen = {
        "public": 3400,
        "admin": {"address": 3401, "wakes": False},
        "stats": {"address": 3402, "counts_as_activity": "no"},
    }
    apply(fresh_lab, {"shop": server(listen=listen)})
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3401)
    assert projects(fresh_lab)["shop"]["state"] == "asleep"
    assert "200 OK" in get(fresh_lab, 3400)
    assert "200 OK" in get(fresh_lab, 3401) and "200 OK" in get(fresh_lab, 3402)
    projctl(fresh_lab, "stop", "shop")
    wait_for(
        lambda: properties(fresh_lab, "projctl-shop.admin.socket", "ActiveState")["ActiveState"] == "inactive"
    )
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3401)
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"
    assert "200 OK" in get(fresh_lab, 3402)
    section = (
        fresh_lab.file("/etc/systemd/system/projctl-shop.service").read_text().partition("[X-Projctl]")[2]
    )
    assert "Sockets=projctl-shop.socket projctl-shop.admin.socket\n" in section


@pytest.mark.parametrize("health", ["/", "tcp", ["/bin/sh", "-c", "exit 0"]])
def test_running_means_answering(fresh_lab: Lab, health: object) -> None:
    run = [sys.executable, str(SERVER), "--start-delay", "1"]
    apply(fresh_lab, {"shop": server(listen=3400, health=health) | {"run": run}})
    projctl(fresh_lab, "start", "shop")
    assert projects(fresh_lab)["shop"]["state"] == "running"
    assert "200 OK" in get(fresh_lab, 3400)


def test_what_never_answers_fails_with_its_reason(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400, health=["/bin/false"], start_timeout="2s")})
    result = projctl(fresh_lab, "start", "shop", check=False)
    assert result.returncode == 1 and "projctl logs shop" in result.stderr
    assert "/bin/false ends with status 1" in projctl(fresh_lab, "logs", "shop").stdout
    wait_for(lambda: projects(fresh_lab)["shop"]["state"] == "failed")
    assert "not ready within 2 s" in projctl(fresh_lab, "status", "shop").stdout


def test_a_private_network(fresh_lab: Lab) -> None:
    apply(fresh_lab, {
        "files": {"path": "/srv", "run": HTTP, "listen": 3400, "network": "private"},
        "shop": server(listen=3401, network="private"),
    })  # fmt: skip
    assert "200 OK" in get(fresh_lab, 3400) and "200 OK" in get(fresh_lab, 3401)
    pids = [projects(fresh_lab)[name]["pid"] for name in ("files", "shop")]
    networks = {fresh_lab.file(f"/proc/{pid}/ns/net").stat().st_ino for pid in (1, *pids)}
    assert len(networks) == 3
    projctl(fresh_lab, "stop", "files")
    assert "200 OK" in get(fresh_lab, 3400)
    # When the server crashes its proxy ends as well, and the next connection starts both.
    before = properties(fresh_lab, "projctl-files.service", "InvocationID")
    fresh_lab.run(["systemctl", "kill", "-s", "KILL", "projctl-files.backend.service"])
    wait_for(
        lambda: properties(fresh_lab, "projctl-files.service", "ActiveState")["ActiveState"] == "inactive"
    )
    assert "200 OK" in get(fresh_lab, 3400)
    assert properties(fresh_lab, "projctl-files.service", "InvocationID") != before
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"


def test_a_thousand_connections_through_a_proxy(fresh_lab: Lab) -> None:
    run = [sys.executable, str(SERVER.with_name("holder.py"))]
    apply(fresh_lab, {"many": {"path": "/srv", "run": run, "listen": 3400, "server": "proxy"}})
    connections = [fresh_lab.connect(3400) for _ in range(1000)]
    for connection in connections:
        connection.sendall(b"x")
    assert all(connection.recv(1) == b"x" for connection in connections)
    for connection in connections:
        connection.close()


def test_reload(fresh_lab: Lab) -> None:
    from steps import ROOT

    app = {"path": str(ROOT / "examples/demo/wsgi"), "run": "gunicorn app:app", "listen": 3400}
    apply(fresh_lab, {"web": app, "shop": server(listen=3401)})
    get(fresh_lab, 3400)
    get(fresh_lab, 3401)
    before = projects(fresh_lab)
    projctl(fresh_lab, "reload", "web", "shop")
    after = projects(fresh_lab)
    # gunicorn keeps its master, a server without a reload of its own restarts.
    assert after["web"]["pid"] == before["web"]["pid"] and after["shop"]["pid"] != before["shop"]["pid"]
    assert "200 OK" in get(fresh_lab, 3400) and "200 OK" in get(fresh_lab, 3401)
    projctl(fresh_lab, "stop", "web")
    projctl(fresh_lab, "reload", "web")
    assert projects(fresh_lab)["web"]["state"] == "asleep"


BAD = {
    "range": (
        {"listen": "3000-3001", "instances": 4},
        "range 3000-3001 has 2 ports, but 4 instances are asked for",
    ),
    "none": ({"instances": 0}, "must be a whole number from 1 to 512"),
    "path": ({"instances": 2, "listen": "/run/x.sock"}, "cannot be shared by several instances"),
    "health": ({"health": "health"}, "must be a path that begins with a slash"),
    "shared": (
        {"health": "/", "instances": 2, "listen": 3000},
        "cannot ask one of several instances behind one port",
    ),
    "sleepless": (
        {"listen": {"a": {"address": 3000, "wakes": False}}},
        "at least one socket that may wake the project",
    ),
    "long form": ({"listen": {"a": {"addr": 3000}}}, 'unknown key "addr", must be one of: address, '),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(lab: Lab, name: str) -> None:
    more, message = BAD[name]
    write(lab, {"bad": server(**more)}, "/srv/bad.yaml")
    result = projctl(lab, "check", "-f", "/srv/bad.yaml", check=False)
    assert result.returncode == 1
    assert message in result.stderr and "/srv/bad.yaml:" in result.stderr
