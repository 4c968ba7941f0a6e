"""What each sandbox adds to a cold start, in all and by its parts, and how systemd-analyze rates it."""

from __future__ import annotations

import re
import statistics
import sys
import time

from projctl.lab import Lab

ROUNDS = 40
LEVELS = ("off", "basic", "strict")
#: What is taken out of strict again, by drop-in, to see what it costs.
PARTS = {
    "filters": (
        "SystemCallFilter=", "RestrictNamespaces=no", "RestrictAddressFamilies=", "SystemCallArchitectures=",
        "LockPersonality=no", "RestrictRealtime=no", "RestrictSUIDSGID=no",
    ),
    "mounts": (
        "PrivateDevices=no", "PrivateTmp=no", "ProtectControlGroups=no", "ProtectHome=no",
        "ProtectHostname=no", "ProtectKernelLogs=no", "ProtectKernelModules=no", "ProtectKernelTunables=no", "ProtectProc=default",
        "ProtectSystem=no", "ReadWritePaths=", "BindPaths=", "BindReadOnlyPaths=",
    ),
}  # fmt: skip
USERS = {"root": "root", "own": "nobody", "dynamic": "dynamic"}
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


def manifest() -> str:
    """One project for each level and user, and one for each part that strict goes without."""
    lines = ["version: 1", "projects:"]
    levels = {level: level for level in LEVELS} | dict.fromkeys(PARTS, "strict")
    for name, level in levels.items():
        for label, user in USERS.items():
            settings = f'path: /srv/bench, server: native, user: {user}, sandbox: "{level}", idle: never'
            lines.append(f"  {name}-{label}: {{{settings}, run: /usr/bin/python3 -IS server.py}}")
    return "\n".join(lines) + "\n"


def set_up(lab: Lab) -> dict[str, int]:
    """Install the projects; their ports."""
    lab.write("/srv/bench/server.py", SERVER)
    lab.write("/srv/bench/projects.yaml", manifest())
    for part, lines in PARTS.items():
        for label in USERS:
            drop_in = f"/etc/systemd/system/projctl-{part}-{label}.service.d/part.conf"
            lab.write(drop_in, "\n".join(["[Service]", *lines]) + "\n")
    plan = lab.run([*PROJCTL, "apply", "-f", "/srv/bench/projects.yaml"]).stdout
    return {name: int(port) for name, port in re.findall(r"projctl-(\S+)\.socket +listens on (\d+)", plan)}


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
        ports = set_up(lab)
        taken = cold_starts(lab, ports)
        base = {label: statistics.median(taken[f"off-{label}"]) for label in USERS}
        rows = [f"{'sandbox':<22} {'user':<8} {'median':>7} {'p90':>7} {'added':>7}  exposure"]
        for name, figures in sorted(taken.items(), key=lambda item: item[0].split("-")[::-1]):
            level, label = name.split("-")
            middle, high = statistics.median(figures), statistics.quantiles(figures, n=10)[-1]
            shown = f"strict without {level}" if level in PARTS else level
            rate = "" if level in PARTS else rating(lab, name)
            added = middle - base[label]
            rows.append(f"{shown:<22} {label:<8} {middle:7.1f} {high:7.1f} {added:+7.1f}  {rate}".rstrip())
        sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    run()
