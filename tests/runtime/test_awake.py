"""A program that holds its project awake, with the very lock that the agent looks for."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import pytest

from projctl_runtime import hold

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROJCTL_HOLD", str(tmp_path / "hold"))
    return tmp_path / "hold"


def is_held(file: Path) -> bool:
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_it_lasts_as_long_as_the_longest_context(file: Path) -> None:
    with hold():
        assert file.stat().st_mode & 0o777 == 0o600
        with hold():
            assert is_held(file)
        assert is_held(file)
    assert not is_held(file)


def test_an_error_ends_it_and_its_time_is_told(file: Path) -> None:
    file.touch()
    os.utime(file, (1.0, 1.0))
    with pytest.raises(ZeroDivisionError), hold():
        raise ZeroDivisionError
    assert not is_held(file)
    assert file.stat().st_mtime == pytest.approx(time.time(), abs=60)


def test_a_process_that_was_forked_meanwhile_does_not_hold_on(file: Path) -> None:
    end, begin = os.pipe()
    with hold():
        child = os.fork()
        if not child:
            os.close(begin)
            os.read(end, 1)
            os._exit(0)
    try:
        assert not is_held(file)
    finally:
        os.close(begin)
        os.close(end)
        os.waitpid(child, 0)


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROJCTL_HOLD", raising=False)
    with hold():
        pass


def test_a_file_that_cannot_be_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJCTL_HOLD", str(tmp_path / "gone" / "hold"))
    with pytest.raises(OSError, match="No such file"), hold():
        pass
