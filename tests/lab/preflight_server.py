"""A server for the preflight tests: notes each of its starts, then behaves as its first argument says.

`serve` answers on descriptors 3 and up; `accept` takes connections and says nothing; `hang-up` closes them;
`sleep` never accepts; `children` leaves processes in sessions of their own and never accepts; `flaky` answers
only once the file `mended` is there. The second argument is the file that gets a line of JSON for each start.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ANSWER = b"HTTP/1.0 200 OK\r\n\r\nhello\n"


def note(file: Path) -> None:
    """Append what this process is."""
    count = int(os.environ.get("LISTEN_FDS", "0"))
    sockets = [socket.socket(fileno=os.dup(3 + number)) for number in range(count)]
    facts = {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "directory": str(Path.cwd()),
        "own": os.environ.get("LISTEN_PID") == str(os.getpid()),
        "environment": dict(os.environ),
        "addresses": [listener.getsockname() for listener in sockets],
        "leader": os.getsid(0) == os.getpid(),
        "words": sys.argv[3:],
        "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1][: 3 + count],  # noqa: PTH208
    }
    with file.open("a") as stream:
        stream.write(json.dumps(facts) + "\n")


def serve(listener: socket.socket, how: str) -> None:
    """Take connections for ever."""
    held = []
    while True:
        client, _ = listener.accept()
        if how == "accept":
            held.append(client)
        elif how == "hang-up":
            client.close()
        else:
            client.recv(65536)
            client.sendall(ANSWER)
            client.close()


def main() -> None:
    """Note the start, then do as told."""
    how = sys.argv[1]
    note(Path(sys.argv[2]))
    if how == "flaky" and not Path("mended").exists():
        print("not mended yet")
        sys.exit(4)
    if how == "children":
        for _ in range(2):
            subprocess.Popen(["sleep", "4711"], start_new_session=True)
    if how in ("sleep", "children"):
        time.sleep(600)
    listeners = [socket.socket(fileno=3 + number) for number in range(int(os.environ["LISTEN_FDS"]))]
    for listener in listeners[1:]:
        threading.Thread(target=serve, args=(listener, how), daemon=True).start()
    serve(listeners[0], how)


if __name__ == "__main__":
    main()
