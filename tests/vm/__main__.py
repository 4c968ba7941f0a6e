"""Boots Debian 13 in a virtual machine, installs the packages there, and shows one claim after the other to hold.

As root; no network is needed once the packages that it installs have been downloaded.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import boot
import image


def main() -> int:
    """0 when every step in the machine passed."""
    with tempfile.TemporaryDirectory(prefix="projctl-vm-") as name:
        work = Path(name)
        root = image.root()
        image.fill(work / "disk")
        disk = image.disk(work / "disk", work / "disk.ext4")
        return boot.run(root, image.system(root), disk)


if __name__ == "__main__":
    sys.exit(main())
