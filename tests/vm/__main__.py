"""Boots Debian 13 in a virtual machine, installs the packages there, and shows one claim after the other to hold.

Meanwhile the RPM packages are built, and run in a root of their own.

As root. Roots and disks are kept below the user's cache, so that only the first run downloads anything.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boot
import image


def main() -> int:
    """0 when every step in the machine passed."""
    with tempfile.TemporaryDirectory(prefix="projctl-vm-") as name:
        work = Path(name)
        print("building the packages, twice", flush=True)
        built = image.fill(work / "disk")
        print("making the system", flush=True)
        root = image.root(built)
        image.wheel(root, work / "disk")
        system, disk = image.system(root), image.disk(work / "disk", work / "disk.ext4")
        with ThreadPoolExecutor() as pool:
            rpm = pool.submit(image.run, image.PACKAGING / "build-rpm", work / "rpm")
            status = boot.run(root, system, disk)
            rpm.result()
        return status


if __name__ == "__main__":
    sys.exit(main())
