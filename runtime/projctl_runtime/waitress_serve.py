"""`waitress-serve` on the sockets that systemd passed; run by path with the project's own Python.

It takes the same arguments (those for addresses are of no use), says READY=1, and on SIGTERM answers every
connection that it has accepted before it ends.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from typing import Any

if __name__ == "__main__":
    del sys.path[0]  # this directory: its modules must not stand in the way of the application's

from waitress import create_server, wasyncore
from waitress.runner import run
from waitress.server import BaseWSGIServer

_ADDRESSES = ("listen", "host", "port", "unix_socket", "unix_socket_perms")
#: Seconds that the first or next byte of a request is waited for at the end.
_SILENCE = 5.0
#: The kernel cuts it to net.core.somaxconn, as for systemd's own; waitress would set 1024.
_BACKLOG = 65535


def passed() -> list[socket.socket]:
    """The sockets that were passed to this process; none where they were passed to another, or not at all."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return []
    return [socket.socket(fileno=3 + offset) for offset in range(int(os.environ.pop("LISTEN_FDS", "0")))]


class Service:
    """A server that finishes what it has accepted."""

    def __init__(self, application: object, sockets: list[socket.socket], options: dict[str, Any]) -> None:
        self._map: dict[int, Any] = {}
        self._server = create_server(application, map=self._map, sockets=sockets, **options)
        self._listeners = [entry for entry in self._map.values() if isinstance(entry, BaseWSGIServer)]
        self._stopped: float | None = None
        self._server.print_listen("Serving on http://{}:{}")

    def stop(self, *_: object) -> None:
        """Accept nothing more; the rest is the loop's, which this wakes."""
        if self._stopped is None:
            self._stopped = time.time()
        for listener in self._listeners:
            listener.accepting = False
            listener.pull_trigger()

    def run(self) -> None:
        """Until it is stopped and every connection has ended."""
        options = self._server.adj
        while self._stopped is None or self._connections():
            wasyncore.loop(options.asyncore_loop_timeout, options.asyncore_use_poll, self._map, count=1)
        self._server.task_dispatcher.shutdown()

    def _connections(self) -> list[Any]:
        """Those still open; of them, the ones that nothing more is expected from are told to close."""
        found = [channel for listener in self._listeners for channel in listener.active_channels.values()]
        for channel in found:
            between = channel.request is None and channel.last_activity != channel.creation_time
            if not channel.requests and (between or self._silent(channel)):
                channel.will_close = True
        return found

    def _silent(self, channel: Any) -> bool:  # noqa: ANN401 - waitress' own
        since: float = max(channel.last_activity, self._stopped or 0)
        return time.time() - since > _SILENCE


def serve(application: object, **options: Any) -> None:  # noqa: ANN401 - waitress' own
    """In place of waitress.serve."""
    sockets = passed()
    if not sockets:
        sys.exit("waitress_serve: no sockets were passed to this process; run waitress-serve instead")
    for address in _ADDRESSES:
        options.pop(address, None)
    options.setdefault("backlog", _BACKLOG)
    logging.basicConfig()
    service = Service(application, sockets, options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, service.stop)
    notify_ready()
    service.run()


def notify_ready() -> None:
    """Tell the manager, if it waits for that (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.send(b"READY=1")


if __name__ == "__main__":
    sys.exit(run(["waitress-serve", *sys.argv[1:]], _serve=serve))
