"""Constant load on one address until standard input closes; prints what was sent and what was lost, as JSON.

`load.py HOST PORT ONE_SHOT KEPT_ALIVE`: the last two are numbers of clients. A kept-alive client looks whether its
connection was closed before it sends, as clients with pools do; whatever it has sent must be answered.
"""

from __future__ import annotations

import collections
import http.client
import json
import select
import sys
import threading
import time

HOST, PORT = sys.argv[1], int(sys.argv[2])
ONE_SHOT, KEPT_ALIVE = int(sys.argv[3]), int(sys.argv[4])
#: Seconds after which a client holds its request for lost.
PATIENCE = 60.0
stop = threading.Event()
sent: collections.Counter[str] = collections.Counter()
lost: collections.Counter[str] = collections.Counter()


def dropped(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed the connection while nobody used it."""
    return bool(connection.sock and select.select([connection.sock], [], [], 0)[0])


def request(connection: http.client.HTTPConnection, kind: str, number: int) -> None:
    """One request, every third one with a body."""
    sent[kind] += 1
    method, body = ("POST", b"x" * 3000) if number % 3 == 0 else ("GET", None)
    try:
        connection.request(method, "/load", body)
        response = connection.getresponse()
        if response.status != 200 or response.read() == b"":
            lost[f"{kind}: status {response.status}"] += 1
    except (OSError, http.client.HTTPException) as error:
        lost[f"{kind}: {error!r}"] += 1
        connection.close()


def one_shot(number: int) -> None:
    """A new connection for each request."""
    while not stop.is_set():
        connection = http.client.HTTPConnection(HOST, PORT, timeout=PATIENCE)
        request(connection, "one-shot", number)
        connection.close()
        number += 1
        time.sleep(0.001)


def kept_alive(number: int) -> None:
    """One connection for many requests, as long as the server keeps it; some clients pause between them."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=PATIENCE)
    pause = 0.001 if number % 2 else 0.05
    while not stop.is_set():
        if dropped(connection):
            connection.close()
        request(connection, "kept-alive", number)
        number += 1
        time.sleep(pause)
    connection.close()


def main() -> None:
    """Run all clients until standard input closes."""
    clients = [(one_shot, number) for number in range(ONE_SHOT)]
    clients += [(kept_alive, number) for number in range(KEPT_ALIVE)]
    threads = [threading.Thread(target=client, args=(number,)) for client, number in clients]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"sent": dict(sent), "lost": dict(lost)}))


if __name__ == "__main__":
    main()
