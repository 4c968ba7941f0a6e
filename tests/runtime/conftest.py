"""What tests of the runner share."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest
from processes import PATIENCE, Connect, Runner, listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """A listening socket that outlives the runner, as systemd's does."""
    with listener() as opened:
        yield opened


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients of a runner's application; they are closed at the end."""
    clients: list[http.client.HTTPConnection] = []

    def open_client(runner: Runner, name: str = "http") -> http.client.HTTPConnection:
        clients.append(http.client.HTTPConnection("127.0.0.1", runner.port(name), timeout=PATIENCE))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()
