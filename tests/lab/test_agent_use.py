"""What keeps a project up and what does not: one story, in which many projects are used in their ways at once."""

from __future__ import annotations

import ctypes
import json
import re
import socket
import struct
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, kill_agent, wait_for
from steps import apply, projctl, projects, server
from test_agent_events import events

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDLE_STOP = "d649923182a64247b971172f532f4fa7"
#: Seconds: the idle time of all, and how long those are used that are used for a while.
IDLE, USED = 2.0, 5.0
#: Used for USED seconds, and what told so.
USED_FOR_A_WHILE = {
    "download": "bytes",
    "upload": "bytes",
    "report": "bytes",
    "batch": "cpu",
    "job": "program",
    "lock": "program",
}
#: Used no more, though connections to them stay open or are opened anew, or it seems that a program holds them.
LEFT_OPEN = ("mute", "pool", "polled", "gone", "stuck", "ahead", "wire")
#: Kept up for as long as the story goes on.
KEPT = ("chat", "pooled", "never", "held", "wired")
SHORT, SILENT = {"stop": "2s", "hold_connections": "1s"}, {"stop": "2s", "hold_connections": 0}
POLLED = {"http": 5010, "admin": {"address": 5011, "counts_as_activity": False, "wakes": False}}
PROJECTS = {
    "pool": server(listen=5001, idle=SHORT),
    "pooled": server(listen=5002, idle="2s"),
    "download": server(listen=5003, idle=SILENT),
    "upload": server(listen=5004, idle=SILENT),
    "batch": server(listen=5005, idle="2s"),
    "job": server(listen=5006, idle="2s"),
    "lock": server(listen=5007, idle="2s", user="dynamic", sandbox="strict"),
    "chat": server(listen=5008, idle="2s"),
    "mute": server(listen=5009, idle=SHORT),
    "polled": server(listen=POLLED, idle="2s"),
    "gone": server(listen=5012, idle={"stop": "2s", "hold_connections": "never"}),
    "never": server(listen=5013, idle="never"),
    "held": server(listen=5014, idle="2s"),
    "brief": server(listen=5015, idle="2s"),
    "sleeper": server(listen=5016, idle="2s"),
    "report": server(listen=5017, idle="2s"),
    "stuck": server(listen=5018, idle=SHORT),
    "ahead": server(listen=5019, idle="2s"),
    "wire": server(listen="/run/wire.sock", idle=SHORT),
    "wired": server(listen="/run/wired.sock", idle="2s"),
}
KEEPALIVE = "[Socket]\nKeepAliveTimeSec=1\nKeepAliveIntervalSec=1\nKeepAliveProbes=2\n"
NGINX = """
error_log stderr; pid /run/pool.pid; daemon off;
events {}
http {
    access_log off;
    upstream pool { server 127.0.0.1:5001; keepalive 4; }
    upstream pooled { server 127.0.0.1:5002; keepalive 4; }
    server {
        listen 127.0.0.1:8000;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location /pool { proxy_pass http://pool/kept; }
        location /pooled { proxy_pass http://pooled/kept; }
    }
}
"""
WEBSOCKET = b"GET /socket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def drop_packets(connection: socket.socket) -> None:
    """Let nothing through to this end any more: the other end gets no answer, not even to its probes."""
    nothing = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0), 8)  # BPF: return 0 bytes
    attach_filter = 26
    connection.setsockopt(socket.SOL_SOCKET, attach_filter, struct.pack("HP", 1, ctypes.addressof(nothing)))


class Story:
    """Clients of many projects; `ended` is when the use of each was over, in seconds since 1970."""

    def __init__(self, stage: Stage, stack: ExitStack) -> None:
        self.stage = stage
        self.ended: dict[str, float] = {}
        self._stack = stack
        self._over = threading.Event()

    def tell(self) -> None:
        """Begin all uses at once."""
        for port in (5013, 5014, 5015, 5010, 5019):
            self.stage.get(port)
        self._in_background("polled", self._poll)
        projctl(self.stage.lab, "hold", "brief", f"{USED:g}s")
        # A program let go of it, and then the clock was set back.
        self.stage.lab.run(["touch", "--date=tomorrow", "/run/projctl/ahead/hold"])
        self._in_background("download", lambda: self.stage.get(5003, f"/drip?seconds={USED:g}"))
        self._in_background("upload", self._upload)
        self._in_background("report", self._wait_for_report)
        self._ask_and_close(5018, 1000)
        for name, port, path in (("batch", 5005, "burn"), ("job", 5006, "awake"), ("lock", 5007, "lock")):
            self.stage.get(port)
            self.ended[name] = time.time() + USED
            self.stage.get(port, f"/{path}?seconds={USED:g}")
        for port in (5008, 5009):
            self._open(self.stage.lab.connect(port))
        for name in ("wire", "wired"):
            connection = self.stage.lab.new_socket(socket.AF_UNIX)
            connection.connect(str(self.stage.lab.file(f"/run/{name}.sock")))
            self._open(connection)
        drop_packets(self._open(self.stage.lab.connect(5012)))
        for name in ("pool", "pooled"):
            assert self.stage.get(8000, f"/{name}")

    def _in_background(self, name: str, work: Callable[[], object]) -> None:
        def use() -> None:
            work()
            self.ended[name] = time.time()

        thread = threading.Thread(target=use)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(self._over.set)

    def _open(self, connection: socket.socket) -> socket.socket:
        """A WebSocket that stays open, and silent, until the story is over."""
        self._stack.enter_context(connection)
        connection.sendall(WEBSOCKET)
        assert connection.recv(4096).startswith(b"HTTP/1.0 101")
        return connection

    def _upload(self) -> None:
        with self.stage.lab.connect(5004) as connection:
            connection.sendall(b"POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\n")
            for _ in range(10):
                time.sleep(USED / 10)
                connection.sendall(b".")
            assert b"200" in connection.recv(4096)

    def _ask_and_close(self, port: int, seconds: float) -> socket.socket:
        """A connection on which all is said, and that its client closes on its side; the server takes its time."""
        connection: socket.socket = self._stack.enter_context(self.stage.lab.connect(port))
        connection.sendall(f"GET /hold?seconds={seconds:g} HTTP/1.0\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        return connection

    def _wait_for_report(self) -> None:
        answer = self._ask_and_close(5017, USED).makefile("rb").read()
        assert b"pid" in answer

    def _poll(self) -> None:
        """As a health checker does, until the port closes with the project; one connection is open all the time."""
        with self.stage.lab.connect(5011):
            while not self._over.wait(0.2):
                try:
                    self.stage.get(5011)
                except OSError:
                    return

    def stops(self, name: str) -> list[dict[str, str]]:
        """The agent's entries about the idle stops of a project."""
        return self.stage.entries(MESSAGE_ID=IDLE_STOP, PROJCTL_PROJECT=name)

    def why(self, name: str) -> str:
        """What `projctl why` says."""
        return projctl(self.stage.lab, "why", name).stdout


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with Lab.boot() as lab, ExitStack() as stack:
        stage = install_agent(lab)
        for name in ("gone", "mute"):  # the one answers no probe, the other all of them
            lab.write(f"/etc/systemd/system/projctl-{name}.socket.d/quick.conf", KEEPALIVE)
        apply(lab, PROJECTS)
        for words in (["held"], ["sleeper", "1h"]):
            projctl(lab, "hold", *words)
        kill_agent(stage)  # holds survive that
        lab.write("/etc/pool.conf", NGINX)
        nginx = lab.popen(["/usr/sbin/nginx", "-c", "/etc/pool.conf"])
        stack.callback(nginx.wait)
        stack.callback(nginx.terminate)
        told = Story(stage, stack)
        told.tell()
        yield told


@pytest.mark.parametrize("name", USED_FOR_A_WHILE)
def test_use_of_any_kind_keeps_it_up_until_it_ends(story: Story, name: str) -> None:
    story.stage.wait_until_asleep(name)
    (entry,) = story.stops(name)
    # CPU is told by shares of windows, the last of which may be below what counts.
    assert int(entry["__REALTIME_TIMESTAMP"]) / 1e6 >= story.ended[name] + IDLE - 0.1
    assert entry["PROJCTL_ACTIVITY"] == USED_FOR_A_WHILE[name]


@pytest.mark.parametrize("name", LEFT_OPEN)
def test_what_only_seems_to_be_use_ends_in_a_stop(story: Story, name: str) -> None:
    story.stage.wait_until_asleep(name)
    assert len(story.stops(name)) == 1
    assert story.stage.state(name) == "inactive"


def test_a_hold_with_an_end_ends(story: Story) -> None:
    story.stage.wait_until_asleep("brief")
    (entry,) = story.stops("brief")
    assert entry["PROJCTL_ACTIVITY"] == "hold"
    assert float(entry["PROJCTL_UPTIME_SECONDS"]) > USED
    (hold,) = story.stage.entries(PROJCTL_EVENT="hold", PROJCTL_PROJECT="brief")
    (end,) = story.stage.entries(PROJCTL_EVENT="release", PROJCTL_PROJECT="brief")
    assert (end["PROJCTL_REASON"], end["PROJCTL_UID"]) == ("expired", "0")
    assert end["PROJCTL_UNTIL"] == hold["PROJCTL_UNTIL"]
    assert end["PROJCTL_INVOCATION_ID"] == entry["PROJCTL_INVOCATION_ID"]
    assert float(end["PROJCTL_UNTIL"]) <= int(end["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chat", r"running: 1 connection, last byte \d+ s ago; would stop at \d\d:\d\d:\d\d\n"),
        ("held", r"running: held awake by root until it is released; does not stop before that\n"),
        ("sleeper", r"asleep: not started yet; .*; once it runs it is held awake by root until \d\d:\d\d:\d\d\n"),
    ],
)  # fmt: skip
def test_why_tells(story: Story, name: str, said: str) -> None:
    # On a busy machine what its start took may still be told, as work.
    wait_for(lambda: re.fullmatch(said, story.why(name)), said)
    assert story.stops(name) == []


def test_status_shows_every_sign(story: Story) -> None:
    shown = projctl(story.stage.lab, "status", "chat").stdout
    for line in (
        r"bytes       .*B in, .*B out", r"connections 1, last in \d+ s ago, last out \d+ s ago, 0 waiting",
        r"cpu now     \d+\.\d % \(2 % is use\)", r"would stop  at .*",
    ):  # fmt: skip
        assert re.search(f"^  {line}$", shown, re.MULTILINE), shown
    signals = json.loads(projctl(story.stage.lab, "status", "chat", "--json").stdout)["signals"]
    assert signals["connections"] == 1
    assert signals["bytes_in"] > 0
    assert projects(story.stage.lab)["chat"]["signals"] is None


def test_only_root_may_hold(story: Story) -> None:
    code = (
        "import socket; s = socket.socket(1); s.connect('/run/projctl/agent.sock');"
        """s.sendall(b'{"order":"release","project":"held"}\\n'); print(s.makefile().readline())"""
    )
    done = story.stage.lab.run(["/usr/bin/python3", "-c", code], user="nobody")
    assert json.loads(done.stdout)["error"].startswith("permission denied")
    assert story.stage.state("held") == "active"


def test_a_hold_is_released(story: Story) -> None:
    for name in KEPT:
        assert story.stage.state(name) == "active"
    said = projctl(story.stage.lab, "release", "held").stdout
    assert said == "held: released\n"
    assert projctl(story.stage.lab, "release", "held", "--json").stdout == "[]\n"
    story.stage.wait_until_asleep("held")
    told = [event["event"] for event in events(story.stage, "--project", "held")]
    assert [event for event in told if event in {"hold", "release", "idle_stop"}] == (
        ["hold", "release", "idle_stop"]
    )
    wait_for(lambda: "nobody used it" in story.why("held"), "the reason of the stop")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["hold", "nothing"], 'cannot find the project "nothing"'),
        (["hold", "chat", "soon"], 'must be a time span such as "90s", "15m" or "1h 30min", "soon" is none'),
    ],
)
def test_bad_orders(story: Story, words: list[str], error: str) -> None:
    done = projctl(story.stage.lab, *words, check=False)
    assert done.returncode in (1, 2)
    assert error in done.stderr
