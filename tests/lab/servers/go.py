"""A compiled Go program that takes LISTEN_FDS."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from server_cases import APPS, ODD, Case
from steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Compiled packages, the standard library's too: kept, since they take seconds.
_CACHE = ROOT / ".venv/go"


def _prepare(place: Path) -> None:
    environment = {**os.environ, "GOCACHE": str(_CACHE), "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    command = ["go", "build", "-buildvcs=false", "-o", str(place / "server"), "."]
    subprocess.run(command, cwd=APPS / "go", env=environment, check=True, capture_output=True, timeout=300)


CASE = Case(name="go", project={"run": ["./server", ODD], "server": "go"}, prepare=_prepare)
