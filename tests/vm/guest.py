"""Runs the steps as root in the machine; each shows one claim on the installed packages.

The steps after the reboot are those of a second run of this file.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import signal
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import installed
import rebooted
from machine import LONGEST, run

if TYPE_CHECKING:
    from collections.abc import Callable

#: What has passed before the reboot.
NOTES = Path("/var/tmp/steps.json")
#: As in boot.py.
PASSED, EXIT_PORT = 42, 0xF4


def passes(function: Callable[[], None], rows: list[list[str]]) -> bool:
    """Run one step, print its line, and on a failure what systemd's journal tells."""
    begun = time.monotonic()
    signal.alarm(LONGEST)
    try:
        function()
        verdict = "ok"
    except Exception:
        signal.alarm(0)
        verdict = "FAILED"
        traceback.print_exc()
        print(run("journalctl", "--boot", "--no-pager", "--lines=60", check=False))
    signal.alarm(0)
    rows.append([verdict, f"{time.monotonic() - begun:5.0f} s", str(function.__doc__)])
    print("  ".join(rows[-1]), flush=True)
    return verdict == "ok"


def give_up(*_: object) -> None:
    raise TimeoutError(f"the step took longer than {LONGEST} s")


def leave() -> None:
    """End QEMU with the status that only this gives. The kernel has no /dev/port, so it takes an instruction."""
    ctypes.CDLL(None).ioperm(EXIT_PORT, 1, 1)
    # mov dx, di; mov al, sil; out dx, al; ret
    code = bytes.fromhex("6689fa4088f0eec3")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CFUNCTYPE(None, ctypes.c_uint16, ctypes.c_uint8)(address)(EXIT_PORT, PASSED)


def main() -> None:
    rows: list[list[str]] = json.loads(NOTES.read_text()) if NOTES.exists() else []
    steps = rebooted.STEPS if rows else installed.STEPS
    signal.signal(signal.SIGALRM, give_up)
    kernel, systemd = run("uname", "--release"), run("systemctl", "--version").splitlines()[0]
    print(f"the steps begin: Linux {kernel}, {systemd}", flush=True)
    good = all(passes(function, rows) for function in steps)
    if good and steps is installed.STEPS:
        NOTES.write_text(json.dumps(rows))
        run("systemctl", "reboot")
        return
    print("\n" + "\n".join("  ".join(row) for row in rows), flush=True)
    if good:
        leave()
    run("systemctl", "poweroff", "--force")


if __name__ == "__main__":
    main()
