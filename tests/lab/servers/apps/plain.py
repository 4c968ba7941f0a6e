"""A program that reads LISTEN_FDS itself, answers one connection at a time and finishes it when asked to end."""

from __future__ import annotations

import os
import select
import signal
import socket
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from wsgi import app


class Handler(WSGIRequestHandler):
    """Looks up no names."""

    def address_string(self) -> str:
        return self.client_address[0]


class Passed(WSGIServer):
    """On a socket that somebody else opened; `server_bind` would open one."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=descriptor)
        self.server_name, self.server_port = "test", self.socket.getsockname()[1]
        self.setup_environ()
        self.set_app(app)


def main() -> None:
    """Serve until SIGTERM."""
    servers = [Passed(3 + offset) for offset in range(int(os.environ["LISTEN_FDS"]))]
    told, tell = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"."))
    while told not in (ready := select.select([told, *servers], [], [])[0]):
        for server in ready:
            server.handle_request()


if __name__ == "__main__":
    main()
