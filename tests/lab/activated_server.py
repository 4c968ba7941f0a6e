"""A small server for the agent's tests: takes systemd's sockets and answers by path.

`/` answers at once; `/slow?seconds=S` sends a byte every fifth of a second, `/drip?seconds=S` one a second;
`/hold?seconds=S` sends a header and then keeps silent, `/socket` does so as a WebSocket until the client ends it;
`/kept` keeps the connection for further requests; `/crash` ends the process with status 3. Afterwards
`/burn?seconds=S` uses the CPU, `/awake?seconds=S` holds the project awake, `/lock?seconds=S` does so with nothing but
flock(2). What is sent by POST is read to its end.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    """Answers one request; the connection closes afterwards."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        seconds = float(parse_qs(address.query).get("seconds", ["0"])[0])
        if address.path == "/crash":
            os._exit(3)
        if address.path == "/socket":
            self._keep_silent()
        elif address.path == "/kept":
            self._keep_connection()
        else:
            self._answer(address.path, seconds)

    def _answer(self, path: str, seconds: float) -> None:
        self.send_response(200)
        self.end_headers()
        if path == "/slow":
            self._send_slowly(seconds, 0.2)
        elif path == "/drip":
            self._send_slowly(seconds, 1.0)
        elif path == "/hold":
            self.wfile.flush()
            time.sleep(seconds)
        elif path == "/burn":
            threading.Thread(target=burn, args=(seconds,), daemon=True).start()
        elif path in ("/awake", "/lock"):
            work = stay_awake if path == "/awake" else lock
            threading.Thread(target=work, args=(seconds,), daemon=True).start()
        self.wfile.write(f"pid {os.getpid()}\n".encode())

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left and (data := self.rfile.read1(left)):
            left -= len(data)
        self.do_GET()

    def _send_slowly(self, seconds: float, pause: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.wfile.write(b".")
            time.sleep(pause)

    def _keep_connection(self) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"kept\n")
        self.close_connection = False

    def _keep_silent(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        self.close_connection = True
        self.rfile.read()

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def burn(seconds: float) -> None:
    """Keep one CPU busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def stay_awake(seconds: float) -> None:
    """Work that nobody waits for and that takes no CPU."""
    from projctl_runtime import hold

    with hold():
        time.sleep(seconds)


def lock(seconds: float) -> None:
    """As stay_awake, as any program can do it."""
    with Path(os.environ["PROJCTL_HOLD"]).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(seconds)


class Activated(ThreadingHTTPServer):
    """A server on a socket that somebody else opened."""

    daemon_threads = True

    def __init__(self, descriptor: int) -> None:
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=descriptor)


def main() -> None:
    """Serve every socket that systemd passed; `--start-delay S` waits first, `--never-ready` hangs."""
    if "--start-delay" in sys.argv:
        time.sleep(float(sys.argv[sys.argv.index("--start-delay") + 1]))
    count = int(os.environ["LISTEN_FDS"])
    servers = [Activated(3 + offset) for offset in range(count)]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if notify := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(notify.replace("@", "\0", 1))
            channel.send(b"READY=1")
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
