"""Who listens on this machine, and what can be bound, asked of real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from projctl import network

#: From linux/in6.h; Python does not know it.
IPV6_FREEBIND = 78


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_live_listener_is_found_with_its_process(family: int, host: str) -> None:
    with socket.socket(family) as server:
        if family == socket.AF_INET6:
            # Containers often have IPv6 without the address ::1.
            server.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        server.bind((host, 0))
        port = server.getsockname()[1]
        assert (host, port) not in network.listeners()
        server.listen()
        name = Path("/proc/self/comm").read_text().strip()
        assert network.listeners()[host, port] == f'process "{name}" (pid {os.getpid()})'
    assert (host, port) not in network.listeners()


def test_a_listener_whose_process_cannot_be_seen_is_told_by_its_user() -> None:
    unseen: network.Listeners[tuple[str | None, int]] = network.Listeners({(None, 80): (0, 65534)})
    assert unseen[None, 80] == 'a process of user "nobody"'
    assert network.Listeners({"/run/x": (0, None)})["/run/x"] == "another process"
    assert network.user_name(4_000_000_000) == "4000000000"


def test_a_unix_listener_is_found_and_a_client_is_not(site: Path) -> None:
    path = str(site / "a socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as other:
        server.bind(path)
        other.bind(path + "2")
        server.listen()
        found = network.unix_listeners()
        assert f"(pid {os.getpid()})" in found[path]
        assert path + "2" not in found


def test_what_systemd_would_meet_when_binding() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [network.try_bind(host, port) for host in ("127.0.0.1", "0.0.0.0", None)] == ["taken"] * 3
        assert network.try_bind("127.0.0.2", port) == "free"
        assert not network.bindable("127.0.0.1", port)
    assert network.try_bind(None, port) == "free"
    # TEST-NET-1 of RFC 5737 is nobody's address.
    assert network.try_bind("192.0.2.1", port) == "absent"
    assert network.bindable("192.0.2.1", port)


def test_a_port_whose_last_connections_still_linger_can_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            peer, _ = server.accept()
            peer.close()
            assert client.recv(1) == b""
    assert network.try_bind("127.0.0.1", port) == "free"


def test_a_privileged_port_is_forbidden_to_an_ordinary_user() -> None:
    code = "from projctl.network import *; print(first_unprivileged_port(), try_bind('0.0.0.0', 80))"
    # A network namespace of its own has the kernel's default of 1024, whatever this machine is set to.
    without = [
        "unshare",
        "--net",
        "setpriv",
        "--bounding-set=-net_bind_service",
        "--inh-caps=-net_bind_service",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(network.__file__).parents[1])}
    command = [*without, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (done.stdout, done.stderr) == ("1024 forbidden\n", "")


def test_the_kernels_own_ports() -> None:
    words = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert network.ephemeral_range() == (int(words[0]), int(words[1]))
    assert 0 <= network.first_unprivileged_port() <= 65536
    listed = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()
    assert bool(listed) == bool(network.reserved_ports())


@pytest.mark.parametrize(
    ("text", "expected"), [("\n", set()), ("8080\n", {8080}), ("1-3,7,9-9\n", {1, 2, 3, 7, 9})]
)
def test_reserved_ports_are_read(text: str, expected: set[int]) -> None:
    assert network.parse_ports(text) == expected
