"""Applications made of npm packages, in a directory of their own."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Where the set-up installs what `servers/package.json` names.
PACKAGES = ROOT / ".venv/node/node_modules"


def copy(app: Path, place: Path) -> None:
    """Copy an application, with its packages beside it."""
    shutil.copytree(app, place, dirs_exist_ok=True)
    (place / "node_modules").symlink_to(PACKAGES)


def build(app: Path, place: Path) -> None:
    """Copy an application and build it with Vite."""
    copy(app, place)
    command = [str(PACKAGES / ".bin/vite"), "build"]
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=300)
