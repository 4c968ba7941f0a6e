"""A server with something to lose: it counts lines in memory, and turns of a clock of its own.

Each line of a connection is answered by how many there were, `ticks` by the turns of the clock, `flood` by more bytes
than any buffer holds and a line `end` after them. It takes all of systemd's sockets and reloads on SIGHUP.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time

count = itertools.count(1)
ticks = 0
FLOOD = 32_000_000


def answer(connection: socket.socket) -> None:
    """Serve one connection to its end."""
    with connection, connection.makefile("rb") as lines:
        for line in lines:
            if line == b"flood\n":
                connection.sendall(b"." * FLOOD + b"end\n")
            else:
                said = ticks if line == b"ticks\n" else next(count)
                connection.sendall(f"{said} {os.getpid()}\n".encode())


def accept(listener: socket.socket) -> None:
    """Take connections for ever."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def main() -> None:
    """Serve and tick."""
    global ticks
    signal.signal(signal.SIGHUP, lambda *_: None)
    for descriptor in range(3, 3 + int(os.environ["LISTEN_FDS"])):
        listener = socket.socket(fileno=descriptor)
        listener.setblocking(True)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
    while True:
        time.sleep(0.05)
        ticks += 1


if __name__ == "__main__":
    main()
