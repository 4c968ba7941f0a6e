"""One socket of a trial: opened as systemd would, and one request sent through it by a client of our own."""

from __future__ import annotations

import contextlib
import os
import socket
import time

from projctl.preflight.processes import listening, waits_at

_REQUEST = b"GET / HTTP/1.0\r\nHost: localhost\r\nUser-Agent: projctl-preflight\r\n\r\n"
_BACKLOG = 128
#: Seconds a server that hung up without a byte has to fall over, before that counts as an answer.
_HANG_UP = 0.3
#: Seconds after which a server that took the connection needs to say nothing more: not all speak HTTP.
_SILENCE = 5.0


def open_listener(host: str | None, directory: str) -> socket.socket:
    """A socket that listens like one for `host`, on a free port of loopback, or None: on a path below `directory`.

    Raises OSError.
    """
    if host is None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = f"{directory}/{os.urandom(4).hex()}.sock"
        listener.bind(path)
        os.chmod(path, 0o666)  # noqa: PTH101, S103 - as systemd's default SocketMode=
    elif ":" in host:
        listener = _open_v6(host)
    else:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener


def _open_v6(host: str) -> socket.socket:
    """An IPv6 socket reachable on loopback only; where there is no IPv6, systemd takes IPv4 too."""
    try:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # The mapped address, since ::1 is not there everywhere.
        listener.bind(("::ffff:127.0.0.1" if host == "::" else "::1", 0))
    except OSError:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
    return listener


def free_port(host: str) -> int:
    """A port that nobody has on `host` now; raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.bind((host, 0))
        return int(trial.getsockname()[1])


class Probe:
    """The request through one socket, and what came of it."""

    def __init__(self, name: str, listener: socket.socket | None, address: tuple[str, int] = ("", 0)) -> None:
        self.name = name
        self.listener = listener
        self.answered = False
        self._address = address
        self._client: socket.socket | None = None
        self._taken: float | None = None
        self._hung_up: float | None = None

    def look(self) -> None:
        """Connect and ask if that is still to do, and see whether there is an answer; never waits."""
        if self.answered or (self._client is None and not self._connect()):
            return
        if self._taken is None and self._is_taken():
            self._taken = time.monotonic()
        if self._hung_up is None:
            self._receive()
        now = time.monotonic()
        silent = self._taken is not None and now - self._taken > _SILENCE
        gone = self._hung_up is not None and now - self._hung_up > _HANG_UP
        self.answered = self.answered or silent or gone

    @property
    def taken(self) -> bool:
        """Whether somebody has accepted the connection."""
        return self.answered or self._taken is not None or self._hung_up is not None

    def _connect(self) -> bool:
        client = socket.socket(self._family(), socket.SOCK_STREAM)
        try:
            client.settimeout(1.0)
            client.connect(self.listener.getsockname() if self.listener else self._address)
            client.sendall(_REQUEST)
        except OSError:
            client.close()
            return False
        client.setblocking(False)
        self._client = client
        return True

    def _family(self) -> int:
        if self.listener:
            return self.listener.family
        return socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET

    def _is_taken(self) -> bool:
        """Whether the connection has left the listener's queue."""
        assert self._client is not None  # noqa: S101 - narrows the type
        if self.listener is None:
            return True
        if self.listener.family == socket.AF_UNIX:
            return not waits_at(self.listener.getsockname())
        found = listening().get(os.fstat(self.listener.fileno()).st_ino)
        return found is not None and found[1] == 0

    def _receive(self) -> None:
        assert self._client is not None  # noqa: S101 - narrows the type
        try:
            data = self._client.recv(1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.answered = True
        else:
            self._hung_up = time.monotonic()

    def close_client(self) -> None:
        """Hang up, so that no server waits for more from us when it is asked to end."""
        with contextlib.suppress(OSError):
            if self._client:
                self._client.close()
