"""What each sandbox adds to a cold start, in all and by its directives, and how systemd-analyze rates it."""

from __future__ import annotations

import re
import statistics
import sys
import time

from projctl.lab import Lab

ROUNDS = 40
LEVELS = ("off", "basic", "strict")
USERS = {"own": "nobody", "root": "root", "dynamic": "dynamic"}
#: Directives of strict, each on its own over `off`.
ALONE = {
    "filter": (
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
    ),
    "families": ("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",),
    "namespaces": ("RestrictNamespaces=yes",),
    "tmp": ("PrivateTmp=yes",),
    "devices": ("PrivateDevices=yes",),
    "home": ("ProtectHome=yes",),
    "system": ("ProtectSystem=strict",),
    "proc": ("ProtectProc=invisible",),
    "logs": ("ProtectKernelLogs=yes",),
    "modules": ("ProtectKernelModules=yes",),
    "tunables": ("ProtectKernelTunables=yes",),
    "cgroups": ("ProtectControlGroups=yes",),
    "clock": ("ProtectClock=yes",),
    "hostname": ("ProtectHostname=yes",),
}
#: As quick to start as Python gets, so that the sandbox's share shows.
SERVER = """
import socket
listener = socket.socket(fileno=3)
while True:
    client = listener.accept()[0]
    client.recv(4096)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n")
    client.close()
"""
PROJCTL = [sys.executable, "-P", "-m", "projctl"]


def projects() -> dict[str, tuple[str, str]]:
    """Level and user of every project that is measured."""
    found = {f"{level}-{label}": (level, user) for label, user in USERS.items() for level in LEVELS}
    return found | {f"{name}-alone": ("off", "nobody") for name in ALONE}


def set_up(lab: Lab) -> dict[str, int]:
    """Install the projects; their ports, in the order they are shown."""
    lines = ["version: 1", "projects:"]
    for name, (level, user) in projects().items():
        settings = f'path: /srv/bench, server: native, user: {user}, sandbox: "{level}", idle: never'
        lines.append(f"  {name}: {{{settings}, run: /usr/bin/python3 -IS server.py}}")
    lab.write("/srv/bench/server.py", SERVER)
    lab.write("/srv/bench/projects.yaml", "\n".join(lines) + "\n")
    for name, directives in ALONE.items():
        text = "\n".join(("[Service]", *directives)) + "\n"
        lab.write(f"/etc/systemd/system/projctl-{name}-alone.service.d/alone.conf", text)
    plan = lab.run([*PROJCTL, "apply", "--no-preflight", "-f", "/srv/bench/projects.yaml"]).stdout
    ports = dict(re.findall(r"projctl-(\S+)\.socket +listens on (\d+)", plan))
    return {name: int(ports[name]) for name in projects()}


def first_byte(lab: Lab, port: int) -> float:
    """Milliseconds from the connection to the first byte of the answer."""
    begun = time.monotonic()
    with lab.connect(port) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if not client.recv(1):
            raise OSError(f"port {port} closed without an answer")
        return (time.monotonic() - begun) * 1000


def cold_starts(lab: Lab, ports: dict[str, int]) -> dict[str, list[float]]:
    """Cold starts of all projects in turn, so that the machine's moods hit them alike."""
    taken: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            lab.run(["systemctl", "stop", f"projctl-{name}.service"])
            taken[name].append(first_byte(lab, port))
    return taken


def rating(lab: Lab, name: str) -> str:
    """The last line of systemd-analyze security for the rendered unit."""
    file = f"/etc/systemd/system/projctl-{name}.service"
    said = lab.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", file], check=False).stdout
    found = re.search(r"([0-9.]+ [A-Z]+)", said.splitlines()[-1])
    return found[1] if found else "not known"


def run() -> None:
    """Measure and print a table; times in milliseconds."""
    with Lab.boot(network="private") as lab:
        taken = cold_starts(lab, set_up(lab))
        rows = [f"{'sandbox':<12} {'user':<8} {'median':>7} {'p90':>7} {'added':>7}  exposure"]
        for name, figures in taken.items():
            level, label = name.split("-")
            middle, high = statistics.median(figures), statistics.quantiles(figures, n=10)[-1]
            added = middle - statistics.median(taken[f"off-{'own' if label == 'alone' else label}"])
            rate = "" if label == "alone" else rating(lab, name)
            rows.append(f"{level:<12} {label:<8} {middle:7.1f} {high:7.1f} {added:+7.1f}  {rate}".rstrip())
        sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    run()
