"""Labs for the tests; they need root, and without it each test fails with that reason."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import remains

from projctl.diagnostics import ProjctlError
from projctl.lab import Lab, host

if TYPE_CHECKING:
    from collections.abc import Iterator


def _obstacle() -> str | None:
    try:
        host.check()
    except ProjctlError as error:
        return str(error)
    return None


@pytest.fixture(scope="session", autouse=True)
def _nothing_left() -> Iterator[None]:
    """Fail when this machine cannot boot a lab, and when a lab of this session has left something behind."""
    if reason := _obstacle():
        pytest.fail(reason, pytrace=False)
    before = remains.snapshot()
    yield
    assert remains.left(os.getpid()) == []
    assert remains.new(before) == frozenset()


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shared")
    for path in (directory, *directory.parents[:2]):
        path.chmod(0o755)  # for the users that services run as
    return directory


@pytest.fixture(scope="session")
def lab(_nothing_left: None, _shared: Path) -> Iterator[Lab]:
    """One lab for all tests, with a network of its own; leave it as you found it."""
    with Lab.boot(binds=[_shared]) as booted:
        yield booted


@pytest.fixture
def shared(_shared: Path, request: pytest.FixtureRequest) -> Path:
    """A directory of the test's own that the host and the session's `lab` both see and may write."""
    directory = _shared / str(len(list(_shared.iterdir())))
    directory.mkdir()
    return directory


@pytest.fixture
def fresh_lab(_nothing_left: None) -> Iterator[Lab]:
    """A lab that no other test has touched."""
    with Lab.boot() as booted:
        yield booted


@pytest.fixture
def place_below_run(_nothing_left: None) -> Iterator[Path]:
    """A directory that a lab does not show by itself, with a name that asks for care."""
    place = Path("/run") / f"projctl-test:{secrets.token_hex(4)}"
    place.mkdir()
    yield place
    shutil.rmtree(place)
