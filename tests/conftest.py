"""Options of the whole test suite, and what several tests act on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# A machine that is busy with other tests is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; read the diff")


@pytest.fixture
def site() -> Iterator[Path]:
    """A directory that every user can reach (pytest's own are private)."""
    with tempfile.TemporaryDirectory(prefix="projctl-", dir="/var/tmp") as name:
        directory = Path(name, "site")
        directory.mkdir()
        for path in (Path(name), directory):
            path.chmod(0o755)
        yield directory
