"""php-fpm, asked as a web server in front of it would: over FastCGI."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from server_cases import APPS, Answer, Case, IncompleteError

if TYPE_CHECKING:
    import socket

_BEGIN, _END, _PARAMETERS, _INPUT, _OUTPUT = 1, 3, 4, 5, 6


def fastcgi(connection: socket.socket, path: str) -> Answer:
    """One request to a responder, which closes the connection afterwards (FastCGI specification, 3 to 6)."""
    values = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "SCRIPT_FILENAME": str(APPS / "php/index.php"),
        "SCRIPT_NAME": "/index.php",
    }
    pairs = b"".join(
        struct.pack("!BL", len(key), len(value) | 1 << 31) + (key + value).encode()
        for key, value in values.items()
    )
    begin = _record(_BEGIN, struct.pack("!HB5x", 1, 0))
    connection.sendall(begin + _record(_PARAMETERS, pairs) + _record(_PARAMETERS) + _record(_INPUT))
    head, _, body = _output(b"".join(iter(lambda: connection.recv(65536), b""))).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return Answer(int(headers.get("Status", "200").split()[0]), body)


def _record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def _output(received: bytes) -> bytes:
    """What the records carry that were sent; the last one says that the request has ended."""
    output = b""
    while len(received) >= 8:
        _, kind, _, length, padding = struct.unpack("!BBHHBx", received[:8])
        content, received = received[8 : 8 + length], received[8 + length + padding :]
        if kind == _OUTPUT:
            output += content
        elif kind == _END:
            return output
    raise IncompleteError(f"the answer ends after {len(output)} bytes")


#: Debian's program has its version in its name.
_PROGRAM = max(path.name for path in Path("/usr/sbin").glob("php-fpm[0-9]*"))

CASE = Case(
    name="phpfpm",
    project={"path": str(APPS / "php"), "run": [_PROGRAM, "-F", "-y", "pool.conf"]},
    expects_loss=False,
    exchange=fastcgi,
)
