"""A headless browser: what it makes of a page, and what it says about it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

# The fleets and the reader of pages that the tests of the report have.
sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

#: The sandbox needs another user than root; what it loads here is ours, and it has no network to go to.
COMMAND = (
    "chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
)  # fmt: skip


@dataclass
class Loaded:
    """The document as the browser holds it, and every line of its console."""

    dom: str
    console: list[str]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Loaded]:
    """Load a page from a file of its own."""

    def loaded(html: str) -> Loaded:
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        words = [*COMMAND, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        return Loaded(done.stdout, re.findall(r"^\[[^]]*CONSOLE[^]]*\] (.*)", done.stderr, re.MULTILINE))

    return loaded
