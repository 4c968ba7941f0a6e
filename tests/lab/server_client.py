"""Clients of a server case, run inside the lab: `burst CASE PORT COUNT` and `stream CASE PORT`; JSON on stdout."""

from __future__ import annotations

import collections
import json
import socket
import sys
import threading
import time

from server_cases import Case, IncompleteError, every

#: Seconds until a request counts as lost.
PATIENCE = 60
CLIENTS = 4
#: Seconds between two requests of one client: a stream, not a flood that starves the starting server.
PAUSE = 0.002


def burst(case: Case, port: int, count: int) -> dict[str, int]:
    """Open `count` connections, then ask on each at once; how many ended how."""
    connections = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(count)]
    ends: collections.Counter[str] = collections.Counter()
    threads = [threading.Thread(target=_ask, args=(case, c, ends)) for c in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(ends)


def stream(case: Case, port: int) -> dict[str, int]:
    """One-shot requests one after the other, from several clients, until standard input ends."""
    over = threading.Event()
    ends: collections.Counter[str] = collections.Counter()

    def ask_again_and_again() -> None:
        while not over.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
            except OSError as error:
                ends[f"connect: {error}"] += 1
            else:
                _ask(case, connection, ends)
            time.sleep(PAUSE)

    threads = [threading.Thread(target=ask_again_and_again) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    return dict(ends)


def _ask(case: Case, connection: socket.socket, ends: collections.Counter[str]) -> None:
    with connection:
        try:
            end = str(case.exchange(connection, "/").status)
        except (OSError, IncompleteError) as error:
            end = f"answer: {error}"
    ends[end] += 1


def main() -> None:
    verb, name, port, *count = sys.argv[1:]
    case = every()[name]
    print(json.dumps(burst(case, int(port), int(count[0])) if verb == "burst" else stream(case, int(port))))


if __name__ == "__main__":
    main()
