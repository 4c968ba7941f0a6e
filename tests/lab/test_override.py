"""Other ports for a while, and back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from steps import ROOT, apply, get, projctl, projects, server, write

if TYPE_CHECKING:
    from projctl.lab import Lab


def ports(lab: Lab) -> list[int | None]:
    return [socket["port"] for entry in projects(lab).values() for socket in entry["sockets"]]


def test_a_project_moves_and_comes_back(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400), "blog": server(listen=3401)})
    get(fresh_lab, 3401)
    registry = fresh_lab.file("/var/lib/projctl/ports.json").read_text()
    other = projects(fresh_lab)["blog"]["pid"]
    projctl(fresh_lab, "restart", "shop", "--port", "3500")
    assert ports(fresh_lab) == [3401, 3500]
    shop = projects(fresh_lab)["shop"]
    assert shop["state"] == "running" and shop["override"] is True
    assert "PORT=3500" in fresh_lab.file(f"/proc/{shop['pid']}/environ").read_text().split("\0")
    assert "200 OK" in get(fresh_lab, 3500)
    with pytest.raises(ConnectionRefusedError):
        get(fresh_lab, 3400)
    assert "override" in projctl(fresh_lab, "status", "shop").stdout
    # Neither the manifest's apply nor a plain restart ends it, and nobody else gets its port.
    assert projctl(fresh_lab, "apply").stdout == "nothing to change\n"
    projctl(fresh_lab, "restart", "shop")
    assert ports(fresh_lab) == [3401, 3500]
    write(fresh_lab, {"thief": server(listen=3500)}, "/srv/thief.yaml")
    refused = projctl(fresh_lab, "check", "-f", "/srv/thief.yaml", check=False)
    assert refused.returncode == 1 and "projctl-shop.socket" in refused.stderr
    projctl(fresh_lab, "restart", "shop", "--no-override")
    assert ports(fresh_lab) == [3401, 3400] and projects(fresh_lab)["shop"]["override"] is False
    assert "200 OK" in get(fresh_lab, 3400)
    assert fresh_lab.file("/var/lib/projctl/ports.json").read_text() == registry
    assert projects(fresh_lab)["blog"]["pid"] == other
    assert not list(fresh_lab.file("/run/systemd/system").glob("projctl*"))
    again = projctl(fresh_lab, "restart", "shop", "--no-override", check=False)
    assert again.returncode == 1 and "has no override" in again.stderr


def test_instances_move_one_after_the_other(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen="3400-3402", instances=3)})
    projctl(fresh_lab, "start", "shop@1")
    projctl(fresh_lab, "reload", "shop", "--port", "4000-4002")
    assert ports(fresh_lab) == [4000, 4001, 4002]
    assert [entry["state"] for entry in projects(fresh_lab).values()] == ["asleep", "running", "asleep"]
    assert "200 OK" in get(fresh_lab, 4001)
    projctl(fresh_lab, "reload", "shop", "--no-override")
    assert ports(fresh_lab) == [3400, 3401, 3402]


@pytest.mark.parametrize("health", ["/", "tcp"])
def test_the_health_check_moves_along(fresh_lab: Lab, health: str) -> None:
    sockets = {"web": "127.0.0.1:3400", "admin-2": 3401}
    apply(fresh_lab, {"shop": server(listen=sockets, health=health, start_timeout=5)})
    projctl(fresh_lab, "restart", "shop", "--port", "web=3500")
    assert projects(fresh_lab)["shop"]["state"] == "running"
    assert "200 OK" in get(fresh_lab, 3500)
    projctl(fresh_lab, "restart", "shop", "--no-override")
    assert projects(fresh_lab)["shop"]["state"] == "running"
    assert "200 OK" in get(fresh_lab, 3400)


def test_streams_that_an_administrator_added(fresh_lab: Lab) -> None:
    apply(fresh_lab, {"shop": server(listen=3400), "blog": server(listen=3401)})
    added = "[Socket]\nListenStream=@abstract\nListenStream=@odd:80\nListenStream=/run/shop:7.sock\n"
    fresh_lab.write("/etc/systemd/system/projctl-shop.socket.d/more.conf", added)
    fresh_lab.run(["systemctl", "daemon-reload"])
    projctl(fresh_lab, "stop", "shop")
    fresh_lab.run(["systemctl", "restart", "projctl-shop.socket"])
    found = {socket["address"]: socket["port"] for socket in projects(fresh_lab)["shop"]["sockets"]}
    assert found.pop("/run/shop:7.sock") is None
    assert found.pop("@abstract") is None and found.pop("@odd:80") is None
    assert list(found.values()) == [3400]
    # Asleep, with its own unit changed by hand, beside another manifest.
    unit = fresh_lab.file("/etc/systemd/system/projctl-shop.socket")
    text = (
        unit.read_text()
        .replace("ListenStream=3400", "ListenStream=@mine")
        .replace("FileDescriptorName=http\n", "")
    )
    unit.write_text(text)
    fresh_lab.run(["systemctl", "stop", "projctl-shop.socket"])
    write(fresh_lab, {"other": server(listen=3402)}, "/srv/other.yaml")
    assert projctl(fresh_lab, "check", "-f", "/srv/other.yaml").returncode == 0
    assert [s["port"] for s in projects(fresh_lab)["shop"]["sockets"]] == [None]
    refused = projctl(fresh_lab, "restart", "shop", "--port", "3500", check=False)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert 'cannot give projctl-shop.socket another port: it listens on "@mine"' in refused.stderr


def test_no_accepted_request_is_lost(fresh_lab: Lab) -> None:
    app = {"path": str(ROOT / "examples/demo/wsgi"), "run": "gunicorn --threads 8 app:app", "listen": 3400}
    apply(fresh_lab, {"web": app})
    get(fresh_lab, 3400)
    stop, broken, answered = threading.Event(), [], []

    def stream() -> None:
        while not stop.is_set():
            for port in (3400, 3500):
                try:
                    connection = fresh_lab.connect(port)
                except ConnectionRefusedError:
                    continue
                with connection:
                    try:
                        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                        answer = b"".join(iter(lambda: connection.recv(65536), b""))  # noqa: B023
                    except OSError:
                        answer = b""
                    # Reset before any byte: it waited in the queue of the port that closed and was never accepted.
                    (answered if b"200 OK" in answer else broken).append(answer)

    clients = [threading.Thread(target=stream) for _ in range(4)]
    for client in clients:
        client.start()
    for _ in range(3):
        projctl(fresh_lab, "restart", "web", "--port", "3500")
        projctl(fresh_lab, "restart", "web", "--no-override")
    stop.set()
    for client in clients:
        client.join()
    assert len(answered) > 50
    assert [answer for answer in broken if answer] == []


BAD = {
    "taken": (["--port", "3401"], 'port 3401 is taken by project "blog"'),
    "garbage": (["--port", "30x"], 'cannot read the port "30x"'),
    "too large": (["--port", "70000"], "port"),
    "range": (["--port", "4000-4000", "--port", "admin=4001"], 'cannot find the socket "admin"'),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_ports(lab: Lab, name: str) -> None:
    words, message = BAD[name]
    apply(lab, {"shop": server(listen=3400), "blog": server(listen=3401)})
    before = projects(lab)
    result = projctl(lab, "restart", "shop", *words, check=False)
    assert result.returncode == 1 and message in result.stderr and "Traceback" not in result.stderr
    assert projects(lab) == before
    apply(lab, {})
