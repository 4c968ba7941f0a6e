"""Changes of a project that runs, under traffic: other sockets, another kind of server, steps that fail."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest
from steps import apply, get, projctl, projects, server, wait_for, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.lab import Lab

FILES = {"path": "/srv", "run": "python3 -m http.server --bind $HOST $PORT", "listen": 3400}


@contextlib.contextmanager
def traffic(lab: Lab, port: int) -> Iterator[None]:
    """One request after the other; what is refused meanwhile does not matter here."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                get(lab, port, timeout=5)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        stop.set()
        for client in clients:
            client.join()


def loaded(lab: Lab) -> list[str]:
    """Units of ours that systemd holds without a file, or that run though they should not."""
    said = lab.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "projctl-*"]).stdout
    return [line.split()[0] for line in said.splitlines() if "not-found" in line]


def test_one_of_several_sockets_moves(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen={"http": 3400, "admin": 3500})})
    get(fresh_lab, 3400)
    with traffic(fresh_lab, 3400):
        for admin in (3501, 3500, 3502):
            apply(fresh_lab, {"shop": server(listen={"http": 3400, "admin": admin})})
            assert "200 OK" in get(fresh_lab, admin)
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3500)


def test_sockets_close_in_one_transaction(fresh_lab: Lab) -> None:
    """Whatever connects meanwhile, a socket that closed is not opened again by one that has yet to close."""
    apply(
        fresh_lab,
        {"shop": server(listen={"admin": {"address": 3500, "wakes": False}, "http": 3400, "more": 3600})},
    )
    get(fresh_lab, 3400)
    for _ in range(5):
        with traffic(fresh_lab, 3400):
            fresh_lab.run(["systemctl", "stop", "--job-mode=replace-irreversibly", "projctl-shop.socket"])
            active = ["systemctl", "list-units", "--state=active", "--plain", "--no-legend", "projctl-shop*"]
            assert fresh_lab.run(active).stdout == ""
        fresh_lab.run(["systemctl", "reset-failed", "projctl-shop*"])
        fresh_lab.run(["systemctl", "start", "projctl-shop.socket", "projctl-shop.more.socket"])


def test_sockets_come_and_go_while_it_runs(fresh_lab: Lab) -> None:
    for listen in (
        {"http": 3400},
        {"http": 3400, "admin": 3500},
        {"http": 3400, "admin": "unix"},
        {"http": 3400},
    ):
        apply(fresh_lab, {"shop": server(listen=listen)})
        assert "200 OK" in get(fresh_lab, 3400)
        assert len(projects(fresh_lab)["shop"]["sockets"]) == len(listen)
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"


def test_proxy_to_server_and_back_under_traffic(fresh_lab: Lab) -> None:
    for project in (FILES, server(listen=3400), FILES, server(listen=3400)):
        apply(fresh_lab, {"shop": project})
        assert "200 OK" in get(fresh_lab, 3400)
        with traffic(fresh_lab, 3400):
            other = FILES if project is not FILES else server(listen=3400)
            apply(fresh_lab, {"shop": other})
        assert "200 OK" in get(fresh_lab, 3400)
        wait_for(lambda: loaded(fresh_lab) == [])


def test_a_changed_proxied_server_restarts_under_traffic(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"files": FILES})
    get(fresh_lab, 3400)
    before = projects(fresh_lab)["files"]["pid"]
    with traffic(fresh_lab, 3400):
        apply(fresh_lab, {"files": FILES | {"env": {"A": "b"}}})
    assert "200 OK" in get(fresh_lab, 3400)
    after = projects(fresh_lab)["files"]["pid"]
    assert after != before and "A=b" in fresh_lab.file(f"/proc/{after}/environ").read_text().split("\0")


def test_from_one_to_several_instances_and_back(fresh_lab: Lab) -> None:
    for count in (1, 3, 2, 1):
        apply(fresh_lab, {"shop": server(listen=3400, instances=count)})
        with traffic(fresh_lab, 3400):
            assert "200 OK" in get(fresh_lab, 3400)
        assert len(projects(fresh_lab)) == count
    assert loaded(fresh_lab) == []


def environment(lab: Lab, name: str) -> list[str]:
    return lab.file(f"/proc/{projects(lab)[name]['pid']}/environ").read_text().split("\0")


def test_a_failing_restart_brings_the_others_back(fresh_lab: Lab) -> None:
    def fleet(value: str, **broken: Any) -> dict[str, Any]:
        return {
            "aaa": server(listen=3400, env={"X": value}),
            "bbb": server(listen=3401, env={"X": value}, **broken),
        }

    apply(fresh_lab, fleet("old"))
    projctl(fresh_lab, "start", "aaa", "bbb")
    write(fresh_lab, fleet("new", health=["/bin/false"], start_timeout="2s"))
    result = projctl(fresh_lab, "apply", "--no-preflight", check=False)
    assert result.returncode == 1 and "nothing was changed" in result.stderr
    for name in ("aaa", "bbb"):
        assert "X=old" in environment(fresh_lab, name)
    assert "200 OK" in get(fresh_lab, 3400) and "200 OK" in get(fresh_lab, 3401)


def test_a_killed_apply_is_finished_by_the_next(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400, env={"X": "old"})})
    get(fresh_lab, 3400)
    # Kills whoever calls it at the first restart: everything but that is done.
    wrapper = (
        '#!/bin/sh\ncase "$*" in *restart*) kill -9 $PPID; exit 1;; esac\nexec /usr/bin/systemctl "$@"\n'
    )
    fresh_lab.write("/usr/local/sbin/systemctl", wrapper, mode=0o755)
    write(fresh_lab, {"shop": server(listen=3400, env={"X": "new"})})
    assert projctl(fresh_lab, "apply", "--no-preflight", check=False).returncode != 0
    fresh_lab.run(["rm", "/usr/local/sbin/systemctl"])
    assert "X=old" in environment(fresh_lab, "shop")
    assert "restarts" in projctl(fresh_lab, "apply", "--no-preflight").stdout
    assert "X=new" in environment(fresh_lab, "shop")
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"


def test_an_override_ends_with_its_project(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400)})
    projctl(fresh_lab, "restart", "shop", "--port", "3500")
    apply(fresh_lab, {})
    apply(fresh_lab, {"shop": server(listen=3400)})
    assert "200 OK" in get(fresh_lab, 3400)
    assert projects(fresh_lab)["shop"]["override"] is False


def test_moving_instances_fails_as_a_whole(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen="3400-3401", instances=2)})
    projctl(fresh_lab, "start", "shop")
    fresh_lab.write(
        "/run/systemd/system/projctl-shop@1.service.d/99-broken.conf", "[Service]\nExecStartPre=/bin/false\n"
    )
    result = projctl(fresh_lab, "restart", "shop", "--port", "4000-4001", check=False)
    assert result.returncode == 1 and "back on the ports they had" in result.stderr
    fresh_lab.run(["rm", "-r", "/run/systemd/system/projctl-shop@1.service.d"])
    fresh_lab.run(["systemctl", "daemon-reload"])
    assert [entry["sockets"][0]["port"] for entry in projects(fresh_lab).values()] == [3400, 3401]
    assert "200 OK" in get(fresh_lab, 3400) and "200 OK" in get(fresh_lab, 3401)


def test_a_masked_unit_is_left_alone(fresh_lab: Lab) -> None:
    fresh_lab.run(["ln", "-s", "/dev/null", "/etc/systemd/system/projctl-shop.service"])
    write(fresh_lab, {"shop": server(listen=3400)})
    result = projctl(fresh_lab, "apply", "--no-preflight", check=False)
    assert result.returncode == 1 and "projctl did not write it" in result.stderr
