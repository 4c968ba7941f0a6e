"""Manifests applied on a real systemd: what changes, what does not, and what comes back when a step fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from steps import (
    MANIFEST,
    ROOT,
    apply,
    get,
    projctl,
    projects,
    properties,
    reloads,
    server,
    wait_for,
    write,
)

from projctl import systemctl

if TYPE_CHECKING:
    from projctl.lab import Lab

UNITS = "/etc/systemd/system"


def files(lab: Lab) -> dict[str, bytes]:
    """Every file of ours below the unit directory."""
    top = lab.file(UNITS)
    return {
        str(p.relative_to(top)): p.read_bytes()
        for p in top.rglob("projctl*")
        if p.is_file() and not p.is_symlink()
    }


def test_first_connection_starts_the_server(fresh_lab: Lab) -> None:
    said = apply(fresh_lab, {"shop": server(listen=3400)})
    assert "projctl-shop.socket" in said
    assert projects(fresh_lab)["shop"]["state"] == "asleep"
    assert projects(fresh_lab)["shop"]["pid"] is None
    assert "200 OK" in get(fresh_lab, 3400)
    shop = projects(fresh_lab)["shop"]
    assert (shop["state"], shop["sockets"][0]["port"]) == ("running", 3400)
    assert shop["pid"] > 0


@pytest.mark.parametrize("run", ["gunicorn app:app", "uvicorn app:app"])
def test_frameworks_take_their_socket(fresh_lab: Lab, run: str) -> None:
    kind = {"g": "wsgi", "u": "asgi"}[run[0]]
    apply(fresh_lab, {"app": {"path": str(ROOT / "examples/demo" / kind), "run": run, "listen": 3400}})
    assert "200 OK" in get(fresh_lab, 3400)
    assert "200 OK" in get(fresh_lab, 3400, host="::1")


def test_second_apply_changes_nothing(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400), "blog": server()})
    get(fresh_lab, 3400)
    before = files(fresh_lab), reloads(fresh_lab), projects(fresh_lab)["shop"]["pid"]
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"
    assert (files(fresh_lab), reloads(fresh_lab), projects(fresh_lab)["shop"]["pid"]) == before


def test_a_new_project_costs_no_reload(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400)})
    get(fresh_lab, 3400)
    before = reloads(fresh_lab), projects(fresh_lab)["shop"]["pid"]
    apply(fresh_lab, {"added": server(listen=3401), "shop": server(listen=3400)})
    assert (reloads(fresh_lab), projects(fresh_lab)["shop"]["pid"]) == before
    assert properties(fresh_lab, "projctl-shop.socket", "NeedDaemonReload")["NeedDaemonReload"] == "no"
    assert "200 OK" in get(fresh_lab, 3401)
    # The place in the manifest moved with it.
    text = files(fresh_lab)["projctl-shop.service"].decode()
    line = fresh_lab.file(MANIFEST).read_text().split("\n  shop:")[0].count("\n") + 2
    assert f"Manifest={MANIFEST}:{line}\n" in text


def test_a_changed_port_moves(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400), "blog": server(listen=3401)})
    get(fresh_lab, 3400)
    get(fresh_lab, 3401)
    before, other = reloads(fresh_lab), projects(fresh_lab)["blog"]["pid"]
    apply(fresh_lab, {"shop": server(listen=3500), "blog": server(listen=3401)})
    assert reloads(fresh_lab) != before
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3400)
    assert projects(fresh_lab)["shop"]["state"] == "asleep"
    assert "200 OK" in get(fresh_lab, 3500)
    assert projects(fresh_lab)["blog"]["pid"] == other


def test_a_changed_command_restarts_what_runs_and_wakes_nothing(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400), "blog": server(listen=3401)})
    get(fresh_lab, 3400)
    before = projects(fresh_lab)["shop"]["pid"]
    apply(
        fresh_lab,
        {name: server(listen=port, env={"A": "b"}) for name, port in (("shop", 3400), ("blog", 3401))},
    )
    after = projects(fresh_lab)
    assert after["shop"]["state"] == "running" and after["shop"]["pid"] != before
    assert after["blog"]["state"] == "asleep"


def test_changed_agent_settings_restart_nothing(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400)})
    get(fresh_lab, 3400)
    before = projects(fresh_lab)["shop"]["pid"]
    apply(fresh_lab, {"shop": server(listen=3400, idle="7m")})
    assert b"IdleStopSec=420\n" in files(fresh_lab)["projctl-shop.service"]
    assert projects(fresh_lab)["shop"]["pid"] == before


def test_a_removed_project_is_gone_and_others_stay(fresh_lab: Lab) -> None:
    write(fresh_lab, {"elsewhere": server(listen=3402)}, "/srv/elsewhere.yaml")
    projctl(fresh_lab, "apply", "-f", "/srv/elsewhere.yaml")
    apply(fresh_lab, {"shop": server(listen=3400), "blog": server(listen=3401)})
    get(fresh_lab, 3400)
    apply(fresh_lab, {"blog": server(listen=3401)})
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3400)
    assert not [name for name in files(fresh_lab) if "shop" in name]
    assert not list(fresh_lab.file(UNITS).rglob("*shop*"))
    assert (
        fresh_lab.run(["systemctl", "list-units", "--all", "--plain", "projctl-shop*"]).stdout.startswith(
            "  UNIT"
        )
        is False
    )
    assert sorted(projects(fresh_lab)) == ["blog", "elsewhere"]
    assert "200 OK" in get(fresh_lab, 3401)
    assert "200 OK" in get(fresh_lab, 3402)
    # Its port is remembered, and comes back with it.
    apply(fresh_lab, {})
    assert sorted(projects(fresh_lab)) == ["elsewhere"]


def test_automatic_ports_stay(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(), "blog": server()})
    before = {name: entry["sockets"] for name, entry in projects(fresh_lab).items()}
    apply(fresh_lab, {"aaa": server(), "blog": server(), "shop": server()})
    after = {name: entry["sockets"] for name, entry in projects(fresh_lab).items()}
    assert {name: after[name] for name in before} == before
    apply(fresh_lab, {"aaa": server()})
    apply(fresh_lab, {"new": server(), "shop": server(), "blog": server(), "aaa": server()})
    again = {name: entry["sockets"] for name, entry in projects(fresh_lab).items()}
    assert {name: again[name] for name in before} == before


def test_dry_run_and_diff_touch_nothing(fresh_lab: Lab) -> None:
    write(fresh_lab, {"shop": server(listen=3400)})
    assert "+ projctl-shop.socket" in projctl(fresh_lab, "apply", "--dry-run").stdout
    assert "+ListenStream=3400" in projctl(fresh_lab, "diff").stdout
    assert files(fresh_lab) == {}
    assert not fresh_lab.file("/var/lib/projctl/ports.json").exists()


def test_a_failing_step_rolls_everything_back(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400), "gone": server(listen=3405)})
    get(fresh_lab, 3400)
    registry = fresh_lab.file("/var/lib/projctl/ports.json").read_bytes()
    before = files(fresh_lab)
    # No socket can be made below /proc, which shows only when systemd tries.
    write(
        fresh_lab,
        {"shop": server(listen=3500), "bad": server(listen="/proc/no.sock"), "new": server(listen=3401)},
    )
    result = projctl(fresh_lab, "apply", check=False)
    assert result.returncode == 1
    assert "projctl-bad.socket" in result.stderr and "nothing was changed" in result.stderr
    assert "Traceback" not in result.stderr
    assert files(fresh_lab) == before
    assert fresh_lab.file("/var/lib/projctl/ports.json").read_bytes() == registry
    assert sorted(projects(fresh_lab)) == ["gone", "shop"]
    assert "200 OK" in get(fresh_lab, 3400)
    assert "200 OK" in get(fresh_lab, 3405)
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3401)


def test_foreign_files_are_never_touched(fresh_lab: Lab) -> None:
    fresh_lab.write(f"{UNITS}/projctl-shop.service", "[Service]\nExecStart=/bin/true\n")
    write(fresh_lab, {"shop": server(listen=3400)})
    result = projctl(fresh_lab, "apply", check=False)
    assert result.returncode == 1 and "projctl did not write it" in result.stderr
    assert files(fresh_lab) == {"projctl-shop.service": b"[Service]\nExecStart=/bin/true\n"}


def test_a_crashing_server_keeps_its_socket_and_disturbs_nobody(fresh_lab: Lab) -> None:
    crash = server(listen=3401) | {"run": ["/bin/sh", "-c", "exit 3"]}
    apply(fresh_lab, {"shop": server(listen=3400), "crash": crash})
    with fresh_lab.connect(3401) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        # systemd's own limit of starts would have been reached; from 254 on, pauses grow.
        often = 6 if (systemctl.supported_version() or 0) < 254 else 4
        wait_for(
            lambda: int(properties(fresh_lab, "projctl-crash.service", "NRestarts")["NRestarts"]) >= often
        )
        assert projects(fresh_lab)["crash"]["state"] == "failed"
        assert "200 OK" in get(fresh_lab, 3400)
        assert properties(fresh_lab, "projctl-crash.socket", "ActiveState")["ActiveState"] == "active"
    # Mended, it serves again without anybody touching the socket.
    apply(fresh_lab, {"shop": server(listen=3400), "crash": server(listen=3401)})
    assert "200 OK" in get(fresh_lab, 3401)


def test_proxied_servers_start_stop_and_crash_with_their_proxy(fresh_lab: Lab) -> None:
    app = {"path": "/srv", "run": "python3 -m http.server --bind $HOST $PORT", "listen": 3400}
    apply(fresh_lab, {"files": app})
    assert "200 OK" in get(fresh_lab, 3400)
    first = projects(fresh_lab)["files"]
    assert first["state"] == "running" and first["unit"] == "projctl-files.backend.service"
    fresh_lab.run(["kill", "-9", str(first["pid"])])
    wait_for(lambda: projects(fresh_lab)["files"]["state"] != "running")
    assert "200 OK" in get(fresh_lab, 3400)
    assert projects(fresh_lab)["files"]["pid"] != first["pid"]
    projctl(fresh_lab, "restart", "files")
    assert "200 OK" in get(fresh_lab, 3400)
    projctl(fresh_lab, "stop", "files")
    wait_for(lambda: properties(fresh_lab, first["unit"], "ActiveState")["ActiveState"] == "inactive")
    assert projects(fresh_lab)["files"]["state"] == "asleep"
    assert "200 OK" in get(fresh_lab, 3400)


def test_start_stop_restart(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400)})
    projctl(fresh_lab, "start", "shop")
    first = projects(fresh_lab)["shop"]["pid"]
    projctl(fresh_lab, "restart", "shop")
    second = projects(fresh_lab)["shop"]["pid"]
    assert first and second and first != second
    projctl(fresh_lab, "stop", "shop")
    assert projects(fresh_lab)["shop"]["state"] == "asleep"
    assert "200 OK" in get(fresh_lab, 3400)
    assert "running" in projctl(fresh_lab, "status", "shop").stdout
    assert "Started projctl-shop.service" in projctl(fresh_lab, "logs", "shop").stdout
    missing = projctl(fresh_lab, "stop", "shap", check=False)
    assert missing.returncode == 1 and 'cannot find the project "shap"' in missing.stderr
