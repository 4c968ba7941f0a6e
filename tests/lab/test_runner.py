"""projctl-serve with the units that are rendered for it, on a real systemd."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from steps import ROOT, apply, get, properties, wait_for

if TYPE_CHECKING:
    import socket

    from projctl.lab import Lab

APPS = ROOT / "tests/runtime/apps"
LOAD = ROOT / "tests/runtime/load.py"
SERVICE = "projctl-shop.service"
PUBLIC, ADMIN = 3400, 3401
STOPS = 5


def shop(**more: Any) -> dict[str, Any]:
    """Two applications, named in another order than their sockets."""
    run = "projctl-serve admin=shop:admin public=shop:app"
    return {"path": str(APPS), "run": run, "listen": {"public": PUBLIC, "admin": ADMIN}, **more}


def ask(lab: Lab, path: str, port: int = PUBLIC) -> socket.socket:
    """Send a request and leave its answer for later."""
    connection = lab.connect(port, timeout=60)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    return connection


def journal(lab: Lab) -> str:
    lab.run(["journalctl", "--sync"])
    return lab.run(["journalctl", "-o", "cat", f"--unit={SERVICE}"]).stdout


def begin(lab: Lab, path: str) -> socket.socket:
    """A request that is under way: the application has said so."""
    connection = ask(lab, path)
    begun = f"{path.partition('?')[0].strip('/')} begun"
    wait_for(lambda: begun in journal(lab))
    return connection


def rest(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_each_application_has_the_socket_of_its_name(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": shop()})
    assert properties(fresh_lab, SERVICE, "ActiveState", "Type") == {
        "ActiveState": "inactive",
        "Type": "notify",
    }
    public, admin = get(fresh_lab, PUBLIC), get(fresh_lab, ADMIN)
    pid = properties(fresh_lab, SERVICE, "MainPID")["MainPID"]
    assert f"hello from {pid}\n" in public
    assert f"admin {pid} /\n" in admin
    wait_for(lambda: "requests served" in properties(fresh_lab, SERVICE, "StatusText")["StatusText"])


def test_no_request_is_lost_at_stops(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": shop()})
    words = [sys.executable, str(LOAD), "127.0.0.1"]
    pipe = subprocess.PIPE
    with (
        fresh_lab.popen([*words, str(PUBLIC), "2", "2"], stdin=pipe, stdout=pipe) as public,
        fresh_lab.popen([*words, str(ADMIN), "2", "2"], stdin=pipe, stdout=pipe) as admin,
    ):
        try:
            for _ in range(STOPS):
                assert "200 OK" in get(fresh_lab, PUBLIC)
                time.sleep(0.2)
                fresh_lab.run(["systemctl", "stop", SERVICE], timeout=120)
            results = [json.loads(clients.communicate("", timeout=120)[0]) for clients in (public, admin)]
        except BaseException:
            public.kill()
            admin.kill()
            raise
    assert [result["lost"] for result in results] == [{}, {}]
    assert all(count > STOPS for result in results for count in result["sent"].values())
    assert properties(fresh_lab, SERVICE, "Result")["Result"] == "success"


def test_what_takes_too_long_is_given_up_before_systemd_kills(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": shop(stop_timeout="2s")})
    slow = begin(fresh_lab, "/slow?600")
    fresh_lab.run(["systemctl", "stop", SERVICE], timeout=120)
    assert rest(slow).startswith(b"HTTP/1.1 503 ")
    assert properties(fresh_lab, SERVICE, "Result", "ActiveState") == {
        "Result": "success",
        "ActiveState": "inactive",
    }
    assert "projctl-serve: gave up 1 unfinished request" in journal(fresh_lab)


def test_a_hung_loop_is_killed_after_the_stop_timeout(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": shop(stop_timeout="1s")})
    hung = begin(fresh_lab, "/hang?600")
    with ask(fresh_lab, "/") as waiting:
        fresh_lab.run(["systemctl", "stop", SERVICE], timeout=120)
        assert "State 'stop-sigterm' timed out. Killing." in journal(fresh_lab)
        assert rest(hung) == b""
        # It waited in the socket's queue, and starts the service anew.
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_hung_loop_is_restarted_by_the_watchdog(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": shop()})
    fresh_lab.write(f"/etc/systemd/system/{SERVICE}.d/watchdog.conf", "[Service]\nWatchdogSec=2s\n")
    fresh_lab.run(["systemctl", "daemon-reload"])
    get(fresh_lab, PUBLIC)
    time.sleep(3)  # longer than the watchdog waits
    first = properties(fresh_lab, SERVICE, "MainPID", "NRestarts")
    assert first["NRestarts"] == "0"
    with begin(fresh_lab, "/hang?600"):
        wait_for(lambda: properties(fresh_lab, SERVICE, "NRestarts")["NRestarts"] == "1", 60)
    assert "200 OK" in get(fresh_lab, PUBLIC)
    assert properties(fresh_lab, SERVICE, "MainPID")["MainPID"] != first["MainPID"]
    assert "watchdog" in journal(fresh_lab).lower()
