"""systemd-nspawn as a lab needs it: how it is started, and what it notifies."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from projctl.lab import kernel
from projctl.lab.order import PATH, Order

if TYPE_CHECKING:
    from collections.abc import Sequence

_NETWORKS = {
    "private": ("--private-network", "--resolv-conf=off"),
    "host": ("--resolv-conf=replace-host",),
}


def start(order: Order, cgroup: Path, options: Sequence[str], notify: Path) -> subprocess.Popen[bytes]:
    """Start it in the cgroup; it dies with the calling process, and all of the lab with it."""

    def enter() -> None:
        kernel.die_with_parent(signal.SIGKILL)
        (cgroup / "cgroup.procs").write_text("0")

    return subprocess.Popen(
        [
            # systemd-nspawn's own children outlive it; those of a pid namespace's first process do not
            "unshare", "--pid", "--mount-proc", "--fork", "--kill-child=KILL",
            "systemd-nspawn", "--quiet", "--boot", "--console=pipe", "--register=no", "--keep-unit",
            f"--machine={order.name}", f"--hostname={socket.gethostname()}", "--notify-ready=yes",
            "--link-journal=no", "--timezone=off", "--settings=no",
            # never CAP_SYS_TIME or CAP_SYS_MODULE: clock and kernel are the host's
            "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON",
            "--system-call-filter=bpf perf_event_open pidfd_getfd",
            *_NETWORKS[order.network], *options,
        ],
        env={
            "PATH": PATH,
            "NOTIFY_SOCKET": str(notify),
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            # no tmpfs on /tmp: what the user has there shall be seen
            "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=order.console,
        stderr=order.console,
        preexec_fn=enter,
    )  # fmt: skip


def bind(source: Path, target: str) -> str:
    """The option that shows `source` at `target`."""
    return "--bind=" + ":".join(
        str(path).replace("\\", "\\\\").replace(":", "\\:") for path in (source, target)
    )


def notification(text: str, cgroup: Path) -> dict[str, object]:
    """What of a notification, see sd_notify(3), a lab's parent needs: its leader's pid, or that it is up."""
    known = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    message: dict[str, object] = {}
    if "X_NSPAWN_LEADER_PID" in known:
        message["leader"] = _outside(known["X_NSPAWN_LEADER_PID"], cgroup)
    if known.get("READY") == "1":
        message["ready"] = True
    return message


def _outside(pid: str, cgroup: Path) -> int:
    """The pid by which this process knows the lab's first one; systemd-nspawn sees another number."""
    for file in cgroup.rglob("cgroup.procs"):
        for candidate in file.read_text().split():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{candidate}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
                if numbers[-2:] == [pid, "1"]:
                    return int(candidate)
    raise OSError("cannot find the first process of the lab")
