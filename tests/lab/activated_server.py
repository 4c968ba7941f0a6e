"""A small server for the agent's tests: takes systemd's sockets and answers by path.

`/` answers at once; `/slow?seconds=S` sends a byte every fifth of a second; `/hold?seconds=S` sends a header
and then keeps silent; `/crash` ends the process with status 3; `/burn?seconds=S` uses the CPU afterwards.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    """Answers one request; the connection closes afterwards."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        seconds = float(parse_qs(address.query).get("seconds", ["0"])[0])
        if address.path == "/crash":
            os._exit(3)
        self.send_response(200)
        self.end_headers()
        if address.path == "/slow":
            self._send_slowly(seconds)
        elif address.path == "/hold":
            self.wfile.flush()
            time.sleep(seconds)
        elif address.path == "/burn":
            threading.Thread(target=burn, args=(seconds,), daemon=True).start()
        self.wfile.write(f"pid {os.getpid()}\n".encode())

    def _send_slowly(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.wfile.write(b".")
            time.sleep(0.2)

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def burn(seconds: float) -> None:
    """Keep one CPU busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


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
