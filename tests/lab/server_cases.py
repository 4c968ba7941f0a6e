"""What a server case is: one file in `servers/` defines CASE, and every test and measurement finds it there."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

SERVERS = Path(__file__).with_name("servers")
APPS = SERVERS / "apps"
#: For arguments and variables: everything that a shell, systemd or a template might take for its own.
ODD = """a "b" 'c' 50% $HOME ${PATH} \\t %n ;"""


class Answer(NamedTuple):
    """A complete answer."""

    status: int
    body: bytes


class Exchange(Protocol):
    """Sends one request and reads its whole answer; raises OSError or IncompleteError when there is none."""

    def __call__(self, connection: socket.socket, path: str) -> Answer: ...


class IncompleteError(Exception):
    """The connection ended within an answer, or before it."""


def http(connection: socket.socket, path: str) -> Answer:
    """One request over HTTP/1.1; the connection closes afterwards."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    if not lines[0].startswith("HTTP/1."):
        raise IncompleteError(f"no status line in {head[:80]!r}")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    if "chunked" in headers.get("transfer-encoding", ""):
        body, complete = _joined(body)
    else:
        complete = len(body) == int(headers.get("content-length", len(body)))
    if not complete:
        raise IncompleteError(f"the answer ends after {len(body)} bytes of its body")
    return Answer(int(lines[0].split()[1]), body)


def _joined(chunks: bytes) -> tuple[bytes, bool]:
    """The chunks' content, and whether the last one is there."""
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        if not (length := int(size, 16)):
            return body, True
        body, chunks = body + rest[:length], rest[length + 2 :]
    return body, False


@dataclass(frozen=True)
class Case:
    """One server as a user would run it.

    `project` is its entry in the manifest, without `listen`; `path` is the prepared directory unless it names
    another. `prepare` writes its files into an empty directory that the lab sees at the same path.
    `/` answers 200. `tells`: `/env` answers with a JSON object of `env`, the process's environment, and `argv`,
    its command line, or null where the server overwrites it; of all others the kernel is asked. Of the harness it
    gets the variable ODD.
    `sockets`: how many it is given. `expects_loss`: whether requests may be lost at a stop. `held`: the backlog
    that the held socket is left with, None for untouched. `logs`: it writes an access log to the journal, and the
    adapter knows its lines. `exchange` speaks to it where it does not speak HTTP.
    """

    name: str
    project: Mapping[str, Any]
    prepare: Callable[[Path], None] | None = None
    sockets: int = 1
    expects_loss: bool = True
    tells: bool = True
    held: int | None = None
    logs: bool = False
    exchange: Exchange = http


@cache
def every() -> dict[str, Case]:
    """All cases by name."""
    cases = [_load(path) for path in sorted(SERVERS.glob("*.py"))]
    return {case.name: case for case in cases}


def _load(path: Path) -> Case:
    spec = importlib.util.spec_from_file_location(f"servers_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    case: Case = module.CASE
    assert case.name == path.stem, f"{path} must define the case {path.stem}"
    return case
