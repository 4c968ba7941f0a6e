"""Labs for the tests; as root only, and a test without one fails with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from projctl.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One lab for all tests, with a network of its own; leave it as you found it."""
    with Lab.boot() as booted:
        yield booted


@pytest.fixture
def fresh_lab() -> Iterator[Lab]:
    """A lab that no other test has touched."""
    with Lab.boot() as booted:
        yield booted
