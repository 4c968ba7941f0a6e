"""Projects that are taken down for maintenance, and what is told of orders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from steps import apply, get, projctl, projects, server

if TYPE_CHECKING:
    from projctl.lab import Lab

ORDER = "b3123d8caca15454c53c0abc7e83fb33"


def orders(lab: Lab, project: str) -> list[tuple[str, str, str | None]]:
    """The orders that the journal has about a project: which, by whom, for which instance."""
    lab.run(["journalctl", "--sync"])
    found = lab.run(
        ["journalctl", "--output=json", f"MESSAGE_ID={ORDER}", f"PROJCTL_PROJECT={project}"]
    ).stdout
    entries = [json.loads(line) for line in found.splitlines()]
    return [(entry["PROJCTL_EVENT"], entry["_UID"], entry.get("PROJCTL_INSTANCE")) for entry in entries]


def test_what_is_down_stays_down_until_up(fresh_lab: Lab) -> None:
    wanted = {"shop": server(listen={"public": 3400, "admin": 3401}), "blog": server(listen=3402)}
    apply(fresh_lab, wanted)
    get(fresh_lab, 3400)
    projctl(fresh_lab, "down", "shop")
    for port in (3400, 3401):
        with pytest.raises(ConnectionRefusedError):
            get(fresh_lab, port)
    assert projects(fresh_lab)["shop"]["state"] == "down"
    assert projctl(fresh_lab, "status", "shop").stdout.startswith("shop: down (until: projctl up shop)\n")
    said = projctl(fresh_lab, "apply", "--no-preflight").stdout
    assert said == "  shop is down and stays so until: projctl up shop\nnothing to change\n"
    # Not even a change of its sockets, or of its server, opens it.
    wanted |= {"shop": server(listen={"public": 3410, "admin": 3401}, stop_timeout="7s")}
    assert "shop is down" in apply(fresh_lab, wanted)
    for words in (["start"], ["restart"], ["restart", "--port", "3500"]):
        refused = projctl(fresh_lab, *words, "shop", check=False)
        assert refused.returncode == 1
        assert refused.stderr == "projctl: cannot start shop: taken down\nhint: projctl up shop\n"
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3410)
    assert "200 OK" in get(fresh_lab, 3402)
    projctl(fresh_lab, "up", "shop")
    assert "200 OK" in get(fresh_lab, 3410)
    assert "200 OK" in get(fresh_lab, 3401)
    assert projctl(fresh_lab, "apply", "--no-preflight").stdout == "nothing to change\n"
    # The apply in between opened and stopped nothing of it.
    assert orders(fresh_lab, "shop") == [("apply", "0", None), ("down", "0", None), ("up", "0", None)]
    assert orders(fresh_lab, "blog") == [("apply", "0", None)]
    assert "Taking project shop down, as ordered" in projctl(fresh_lab, "logs", "shop").stdout


def test_one_instance_goes_down_and_a_removed_project_leaves_no_mark(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"pool": server(listen="3400-3401", instances=2), "blog": server(listen=3402)})
    projctl(fresh_lab, "down", "pool@1", "blog")
    assert "200 OK" in get(fresh_lab, 3400)
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3401)
    projctl(fresh_lab, "stop", "pool@0")
    projctl(fresh_lab, "restart", "pool@0")
    assert orders(fresh_lab, "pool") == [
        ("apply", "0", "0"), ("apply", "0", "1"), ("down", "0", "1"), ("stop", "0", "0"), ("restart", "0", "0")
    ]  # fmt: skip
    marks = fresh_lab.file("/run/projctl/down")
    assert sorted(path.name for path in marks.iterdir()) == ["blog", "pool@1"]
    apply(fresh_lab, {"pool": server(listen="3400-3401", instances=2)})
    assert [path.name for path in marks.iterdir()] == ["pool@1"]
    apply(fresh_lab, {"pool": server(listen="3400-3401", instances=2), "blog": server(listen=3402)})
    assert "200 OK" in get(fresh_lab, 3402)


def test_an_order_that_cannot_be_told_is_carried_out_all_the_same(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400)})
    get(fresh_lab, 3400)
    fresh_lab.run(["systemctl", "stop", "systemd-journald.socket", "systemd-journald-dev-log.socket",
                   "systemd-journald.service"])  # fmt: skip
    projctl(fresh_lab, "stop", "shop")
    assert projects(fresh_lab)["shop"]["state"] == "asleep"
