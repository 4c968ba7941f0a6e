"""A compiled Go program that takes LISTEN_FDS."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from server_cases import APPS, ODD, Case

if TYPE_CHECKING:
    from pathlib import Path


def _prepare(place: Path) -> None:
    environment = {**os.environ, "GOCACHE": str(place / "cache"), "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    command = ["go", "build", "-buildvcs=false", "-o", str(place / "server"), "."]
    subprocess.run(command, cwd=APPS / "go", env=environment, check=True, capture_output=True, timeout=300)


CASE = Case(name="go", project={"run": ["./server", ODD], "server": "go"}, prepare=_prepare)
