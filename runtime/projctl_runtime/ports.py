"""Opens listening sockets where no service manager did: the first free port of what was asked for."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import stat
from pathlib import Path

from projctl_runtime.failure import RunnerError

_FORM = re.compile(
    r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:,/]+):)?(?P<ports>[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)"
)
#: Connections that may wait until they are accepted; the kernel caps it at net.core.somaxconn.
BACKLOG = 2048
DEFAULT = "8000-8099"


def parse(text: str) -> tuple[str | None, list[int]]:
    """Host (None: not said) and the ports to try in order, of `3400`, `3400,3410-3419` or `HOST:PORTS`.

    Raises RunnerError for anything else; 0 is a port that the kernel chooses.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise RunnerError(
            f'must listen on a port, a range "a-b", "HOST:PORT" or "/a/path.sock", not on "{text}"'
        )
    ports: list[int] = []
    for part in found["ports"].split(","):
        first, _, last = part.partition("-")
        ports += range(int(first), int(last or first) + 1)
    if not ports or max(ports) > 65535:
        raise RunnerError(f'must be ports from 0 to 65535, ranges with the lower one first, not "{text}"')
    host = found["host"]
    return (host.strip("[]") if host else None), ports


def open_first(name: str, text: str, host: str = "127.0.0.1") -> tuple[socket.socket, list[str]]:
    """A listening socket for the application `name`, and remarks such as "port 3400 is busy, using 3401".

    `host` is for a `text` that names none. Raises RunnerError when every port is busy or cannot be opened.
    """
    if text.startswith("/"):
        return _open_unix(name, text), []
    asked, ports = parse(text)
    busy: list[int] = []
    for port in ports:
        opened = _open(name, asked or host, port)
        if opened:
            return opened, [_remark(busy, port)] if busy else []
        busy.append(port)
    raise RunnerError(f'cannot open a port for "{name}": {_told(ports)} busy')


def _told(ports: list[int]) -> str:
    return f"port {ports[0]} is" if len(ports) == 1 else f"all of {_spans(ports)} are"


def _spans(ports: list[int]) -> str:
    spans: list[list[int]] = []
    for port in ports:
        if spans and port == spans[-1][1] + 1:
            spans[-1][1] = port
        else:
            spans.append([port, port])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _remark(busy: list[int], port: int) -> str:
    subject = f"port {busy[0]} is" if len(busy) == 1 else f"ports {_spans(busy)} are"
    return f"{subject} busy, using {port}"


def _open(name: str, host: str, port: int) -> socket.socket | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise RunnerError(f'cannot open {host} for "{name}": {error.strerror}') from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` is every address of the machine, as it is for systemd.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise RunnerError(f'cannot open port {port} of {host} for "{name}": {error.strerror}') from error
    opened.setblocking(False)
    return opened


def _open_unix(name: str, path: str) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        opened.bind(path)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise RunnerError(f'cannot open {path} for "{name}": {error.strerror}') from error
    opened.setblocking(False)
    return opened


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on any more; what is in use is left for bind() to refuse."""
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if stat.S_ISSOCK(Path(path).lstat().st_mode):
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()


def shown(listener: socket.socket) -> str:
    """Where a socket listens, as one would type it."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
