"""A network and a view of the files of the trial's own, for a server that takes a socket at its real address only.

Nobody else is reached there and nobody is in the way: the address may be in use outside. Files that a server
leaves beside its sockets or in /run, such as its pid, are not those of one that runs already.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from projctl.lab import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SIOCSIFFLAGS, _SIOCSIFADDR = 0x8914, 0x8916
_IFF_UP = 1
_IP_FREEBIND = 15
_LOOPBACK_INDEX = 1
_RUN = Path("/run")


def enter(streams: Sequence[str]) -> None:
    """Move this process apart, with these addresses (ListenStream= values) its own; raises OSError where it may not.

    A user other than root needs a user namespace for it.
    """
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | (kernel.CLONE_NEWUSER if uid else 0))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
    paths = [Path(stream) for stream in streams if stream.startswith("/")]
    for directory in dict.fromkeys([_RUN, *(path.parent for path in paths)]):
        _shadow(directory, paths)
    _bring_up([host for stream in streams if (host := address(stream)[0]) not in ("", "::", "0.0.0.0")])  # noqa: S104


def address(stream: str) -> tuple[str, int]:
    """Host (empty: a path, `::`: all) and port of a ListenStream= value."""
    if stream.startswith(("/", "@")):
        return "", 0
    host, _, port = stream.rpartition(":")
    return host.strip("[]") or "::", int(port)


def _shadow(directory: Path, without: Iterable[Path]) -> None:
    """Cover a directory with one that shows the same, but for these files and pids, and keeps what is written."""
    directory.mkdir(exist_ok=True)  # only in /run, that is covered already: elsewhere it must be there
    shown = [path for path in directory.iterdir() if path not in without and path.suffix != ".pid"]
    held = [(path, os.open(path, os.O_PATH | os.O_NOFOLLOW)) for path in shown if not path.is_symlink()]
    links = [(path, path.readlink()) for path in shown if path.is_symlink()]
    mode = f"mode={directory.stat().st_mode & 0o7777:o}"
    kernel.mount("tmpfs", directory, "tmpfs", options=mode)
    for path, descriptor in held:
        source = f"/proc/self/fd/{descriptor}"
        if os.path.isdir(source):  # noqa: PTH112 - follows the descriptor
            path.mkdir()
        else:
            path.touch(0o600)
        kernel.mount(source, path, flags=kernel.MS_BIND | kernel.MS_REC)
        os.close(descriptor)
    for path, target in links:
        path.symlink_to(target)


def _bring_up(hosts: Iterable[str]) -> None:
    """Loopback, with further addresses on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        for number, host in enumerate(dict.fromkeys(hosts)):
            if ip_address(host).version == 4 and not ip_address(host).is_loopback:
                name, packed = f"lo:{number}".encode(), socket.inet_aton(host)
                fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16sHH4s8x", name, socket.AF_INET, 0, packed))
    for host in dict.fromkeys(hosts):
        if ip_address(host).version == 6 and not ip_address(host).is_loopback:
            packed = socket.inet_pton(socket.AF_INET6, host)
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16sIi", packed, 128, _LOOPBACK_INDEX))


def open_listener(stream: str) -> socket.socket:
    """The socket as systemd opens it, at its real address; raises OSError."""
    host, port = address(stream)
    if not host:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(stream)
        os.chmod(stream, 0o666)  # noqa: PTH101, S103 - as systemd's default SocketMode=
    elif ":" in host:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)  # the kernel adds addresses a little later
        listener.bind((host, port))
    else:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((host, port))
    listener.listen()
    return listener
