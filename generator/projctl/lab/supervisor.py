"""The process that owns a lab: boots it, and takes all of it away when its parent is gone, however that ends.

It lives in a session and a mount namespace of its own, so neither Ctrl-C nor the death of projctl reaches
it first, and every mount goes with it. The kernel kills systemd-nspawn, and with it the whole lab, when
this process dies. What the kernel does not take back, the lab's cgroups, is removed here.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from projctl.lab import image, kernel, nspawn, tree
from projctl.lab.order import CGROUPS, Order

if TYPE_CHECKING:
    from collections.abc import Callable

_SCRATCH = Path("/run")
_NOTIFY = _SCRATCH / "lab-notify"


def main(text: str) -> None:
    """Boot what the JSON `text` orders, tell the parent its leader's pid, stay until the parent is gone."""
    order = Order.load(text)
    control = socket.socket(fileno=order.control)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _supervise(order, control)
    except (OSError, subprocess.SubprocessError) as error:
        _tell(control, {"error": str(error)})


def _tell(control: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(message).encode() + b"\n")


def _supervise(order: Order, control: socket.socket) -> None:
    options = _mount_all(order)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(_NOTIFY))
    cgroup = CGROUPS / order.name
    _sweep()
    kernel.adopt_orphans()
    try:
        cgroup.mkdir()
        machine = nspawn.start(order, cgroup, options, _NOTIFY)
        _watch(order, control, notify, machine)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        remove(cgroup)


def _mount_all(order: Order) -> list[str]:
    """Mount all that the lab boots from; returns the options that show it to systemd-nspawn."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
    mounts = list(tree.mounted_directories())
    # the scratch covers /run, so what lies below it is held open from here on
    held = [
        (path, kind, os.open(path, os.O_PATH))
        for kind in ("binds", "overlays")
        for path in getattr(order, kind)
    ]
    scratch = tree.Scratch(_SCRATCH)
    _mount_cgroups()
    root = tree.assemble(scratch, mounts)
    _in_root(root, lambda: image.prepare(Path("/")))
    options = [f"--directory={root}"]
    for path, kind, descriptor in held:
        place = tree.show(scratch, f"/proc/self/fd/{descriptor}", shared=kind == "binds")
        options.append(nspawn.bind(place, path))
        os.close(descriptor)
    # systemd-nspawn binds single files of the host's root, such as os-release; nobody writes through those
    kernel.mount("", Path("/"), flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)
    return options


def _mount_cgroups() -> None:
    if (CGROUPS / "cgroup.controllers").exists():
        return
    if CGROUPS.is_mount():
        kernel.unmount(CGROUPS)
    kernel.mount("cgroup2", CGROUPS, "cgroup2")


def _in_root(root: Path, action: Callable[[], None]) -> None:
    """Run `action` in a child whose root is `root`, where no symbolic link can lead to the host's files."""
    child = os.fork()
    if child == 0:
        try:
            os.chroot(root)
            os.chdir("/")
            action()
            os._exit(0)
        except BaseException as error:
            print(f"cannot prepare the lab's files: {error}", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise OSError("cannot prepare the lab's files")


def _watch(
    order: Order, control: socket.socket, notify: socket.socket, machine: subprocess.Popen[bytes]
) -> None:
    """Pass on what systemd-nspawn notifies, until it ends or the parent closes its end or dies."""
    parent = os.pidfd_open(order.parent)
    if os.getppid() != order.parent:
        return
    ended = os.pidfd_open(machine.pid)
    poll = select.poll()
    for descriptor in (control.fileno(), parent, notify.fileno(), ended):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if ready & {control.fileno(), parent}:
            return
        if ended in ready:
            raise OSError(f"systemd-nspawn ended with status {machine.wait()}")
        text = notify.recv(65536).decode(errors="replace")
        _tell(control, nspawn.notification(text, CGROUPS / order.name))


def remove(cgroup: Path) -> None:
    """Kill all processes of the cgroup and its children, wait for their end, remove the directories."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            (cgroup / "cgroup.kill").write_text("1")
        _reap()
        for directory, _, _ in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
        if not cgroup.exists() and not _has_children():
            return
        time.sleep(0.005)


def _sweep() -> None:
    """Remove what is left of labs whose supervisor was killed, as no other process can do it then.

    Whether those of another namespace of processes, a container say, still live cannot be seen from here.
    """
    for cgroup in CGROUPS.glob(f"projctl-lab-*-{kernel.pid_namespace()}"):
        with contextlib.suppress(OSError):
            if "populated 0" in (cgroup / "cgroup.events").read_text() and not _owner(cgroup).exists():
                remove(cgroup)


def _owner(cgroup: Path) -> Path:
    return Path("/proc") / cgroup.name.split("-")[2]


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1])
