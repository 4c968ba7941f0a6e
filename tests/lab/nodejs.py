"""Applications made of npm packages, in a directory of their own."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

from steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NODE = ROOT / ".venv/node"
#: Where the set-up installs what `servers/package.json` names.
PACKAGES = NODE / "node_modules"


def copy(app: Path, place: Path) -> None:
    """Copy an application, with its packages beside it."""
    shutil.copytree(app, place, dirs_exist_ok=True)
    (place / "node_modules").symlink_to(PACKAGES)


def build(app: Path, place: Path) -> None:
    """Copy an application as Vite builds it: built once for all tests, and anew when its files are others."""
    built = NODE / f"{app.name}-{_digest(app)}"
    with (NODE / f"{app.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            shutil.rmtree(new := NODE / f"{app.name}.new", ignore_errors=True)
            copy(app, new)
            command = [str(PACKAGES / ".bin/vite"), "build"]
            subprocess.run(command, cwd=new, check=True, capture_output=True, timeout=300)
            new.rename(built)
    shutil.copytree(built, place, symlinks=True, dirs_exist_ok=True)


def _digest(app: Path) -> str:
    """Of what a build depends on."""
    files = [path for path in sorted(app.rglob("*")) if path.is_file()]
    texts = [path.read_bytes() for path in (*files, NODE / "package.json")]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]
