"""Runs QEMU on the two disks and tells from its exit status whether all went well."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: The guest writes this to its exit port when every step passed; QEMU's own status is then twice that and one.
#: A machine that crashes, hangs or is switched off ends otherwise.
PASSED = 42
#: The guest's first line.
BEGUN = b"the steps begin"
#: Seconds until the steps begin, with KVM and emulated, and until they are through, the reboot included.
_BEGIN, _BEGIN_EMULATED, _PATIENCE = 60, 600, 2400
KVM = ("-accel", "kvm", "-cpu", "host")
# Without cmpxchg16b: QEMU 7.2 emulates it such that Linux 6.12 panics now and then.
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "qemu64,-cx16")
_UNIT = """
[Unit]
Description=The steps of the test
After=multi-user.target
[Service]
Type=exec
ExecStartPre=/usr/bin/mount -o ro /dev/vdb /mnt
ExecStart=/usr/bin/python3 -B /mnt/guest.py
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS0
"""


def run(root: Path, system: Path, disk: Path) -> int:
    """Boot and wait; 0 when the guest said that it passed."""
    status = None
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        status = _boot(root, system, disk, KVM, to_begin=_BEGIN)
        if status is None:
            print("no life with KVM; once more without", flush=True)
    if status is None:
        status = _boot(root, system, disk, EMULATED, to_begin=_BEGIN_EMULATED)
    if status == PASSED << 1 | 1:
        return 0
    print(f"the machine ended without having passed, after what is shown above: status {status}")
    return 1


def _boot(root: Path, system: Path, disk: Path, processor: tuple[str, ...], to_begin: int) -> int | None:
    """QEMU's exit status; None when the steps did not begin in time."""
    kernel = max((root / "boot").glob("vmlinuz-*"))
    command = [
        "qemu-system-x86_64", *processor, "-smp", "2", "-m", "1536", "-nographic", "-nic", "none", "-no-user-config",
        "-drive", f"file={system},if=virtio,format=raw,snapshot=on,cache=unsafe",
        "-drive", f"file={disk},if=virtio,format=raw,readonly=on",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01",
        "-kernel", str(kernel), "-initrd", str(kernel.with_name(kernel.name.replace("vmlinuz", "initrd.img"))),
        "-append", " ".join(["root=/dev/vda rw console=ttyS0 quiet loglevel=3 panic=-1", *_arguments()]),
    ]  # fmt: skip
    last: deque[str] = deque(maxlen=40)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as machine:
        clock = threading.Timer(to_begin, machine.kill)
        clock.start()
        begun = False
        for line in machine.stdout or ():
            if not begun and BEGUN in line:
                begun = True
                clock.cancel()
                clock = threading.Timer(_PATIENCE, machine.kill)
                clock.start()
            text = line.decode(errors="replace").rstrip()
            if begun:
                print(text, flush=True)
            else:
                last.append(text)
        clock.cancel()
    if not begun:
        print("\n".join(last))
    return machine.returncode if begun else None


def _arguments() -> list[str]:
    """The unit that runs the steps, handed to systemd on the kernel's command line: the disk stays a plain system."""
    units = {
        "systemd.extra-unit.steps.service": _UNIT,
        "systemd.unit-dropin.multi-user.target": "[Unit]\nWants=steps.service\n",
    }
    coded = {name: base64.b64encode(text.encode()).decode() for name, text in units.items()}
    return [
        "systemd.show_status=no systemd.firstboot=no systemd.hostname=vm systemd.mask=serial-getty@ttyS0.service",
        # When the clock jumps they would all be due, and apt busy when the next step wants it.
        *(f"systemd.mask={name}.timer" for name in ("apt-daily", "apt-daily-upgrade", "dpkg-db-backup")),
        f"systemd.machine_id={os.urandom(16).hex()}",
        *(f"systemd.set_credential_binary={name}:{text}" for name, text in coded.items()),
    ]
