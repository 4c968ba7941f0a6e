"""Holds: who, until when, kept in a file; and the lock by which a program holds its own project."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import holds, locks
from projctl_agent.clock import Clock
from projctl_agent.holds import Hold, Holds
from projctl_agent.locks import Held

if TYPE_CHECKING:
    from pathlib import Path

names = st.from_regex(r"[a-z][a-z0-9-]{0,20}(@[0-9]{1,3})?", fullmatch=True).filter(
    lambda name: name.partition("@")[0] not in {"agent", "agent-helper", "agent-metrics"}
)
moments = st.floats(0, 1e11)
any_hold = st.builds(Hold, st.integers(0, 1 << 32), moments, st.none() | moments)


@given(st.dictionaries(names, any_hold))
def test_read_back_as_written(known: dict[str, Hold]) -> None:
    assert holds.parse(holds.dump(known)) == known


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"version":9,"holds":{}}', '{"version":1,"holds":[]}',
        '{"version":1,"holds":{"../x":{"uid":0,"since":1,"until":null,"boot":"","offset":0,"told":false}}}',
        '{"version":1,"holds":{"shop":{"uid":-1,"since":1,"until":null,"boot":"","offset":0,"told":false}}}',
        '{"version":1,"holds":{"shop":{"uid":0,"since":"now","until":null,"boot":"","offset":0,"told":false}}}',
        '{"version":1,"holds":{"shop":{"uid":0,"since":1,"until":NaN,"boot":"","offset":0,"told":false}}}',
        '{"version":1,"holds":{"shop":{"uid":0,"since":1,"until":2,"boot":"","offset":0,"told":1}}}',
        '{"version":1,"holds":{"shop":{"uid":0,"since":1}}}',
    ],
)  # fmt: skip
def test_what_dump_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the message names the place, the kind is what counts
        holds.parse(text)


def test_a_hold_survives_its_agent_and_ends_when_it_should(tmp_path: Path) -> None:
    path, now = tmp_path / "holds.json", time.time()
    first = Holds(path)
    first.load()
    first.hold(["shop@0", "shop@1"], Hold(7, now, now + 60))
    first.hold(["blog"], Hold(7, now, None))
    second = Holds(path)
    second.load()
    assert second.current("shop@0", now) == Hold(7, now, now + 60)
    assert second.current("shop@0", now + 60) is None
    assert second.held_until("shop@0") == pytest.approx(time.monotonic() + 60, abs=5)
    assert second.held_until("blog") == math.inf
    assert second.held_until("other") is None


def test_a_released_hold_tells_when_it_ended(tmp_path: Path) -> None:
    path, now = tmp_path / "holds.json", time.time()
    known = Holds(path)
    known.hold(["blog"], Hold(7, now - 10, None))
    assert known.release(["blog", "shop"], now) == ["blog"]
    assert known.release(["blog"], now) == []
    assert known.current("blog", now) is None
    assert known.held_until("blog") == pytest.approx(time.monotonic(), abs=5)
    known.hold(["shop"], Hold(7, now + 1e6, None))
    assert set(json.loads(path.read_text())["holds"]) == {"shop"}


def test_what_ended_by_its_time_is_told_once_whoever_is_there(tmp_path: Path) -> None:
    path, now = tmp_path / "holds.json", time.time()
    first = Holds(path)
    first.hold(["shop"], Hold(7, now, now + 60))
    first.hold(["blog"], Hold(7, now, None))
    first.hold(["wiki"], Hold(7, now, now + 90))
    first.release(["wiki"], now)
    assert first.next_end() == pytest.approx(time.monotonic() + 60, abs=5)
    assert first.expired(now + 59) == {}
    second = Holds(path)
    second.load()
    assert second.expired(now + 61) == {"shop": Hold(7, now, now + 60)}
    assert (second.expired(now + 61), second.next_end()) == ({}, None)
    third = Holds(path)
    third.load()
    assert third.expired(now + 61) == {}
    third.hold(["shop"], Hold(7, now + 61, now + 70))
    assert list(third.expired(now + 71)) == ["shop"]


def test_an_end_that_cannot_be_saved_is_told_once_all_the_same(tmp_path: Path) -> None:
    known = Holds(tmp_path / "holds.json")
    known.hold(["shop"], Hold(7, 0.0, 1.0))
    (tmp_path / "holds.json").unlink()
    tmp_path.rmdir()
    assert list(known.expired(2.0)) == ["shop"]
    assert known.expired(2.0) == {}


@pytest.mark.parametrize("step", [86400.0, -86400.0])
def test_a_clock_that_is_set_ends_no_hold_early_or_late(tmp_path: Path, step: float) -> None:
    steady, wall = 1000.0, 1e9

    def clock(boot: str = "a") -> Clock:
        return Clock(lambda: wall, lambda: steady, boot)

    Holds(tmp_path / "holds.json", clock()).hold(["shop"], Hold(0, wall, wall + 7200))
    wall += step
    for _ in range(2):
        known = Holds(tmp_path / "holds.json", clock())
        known.load()
        assert known.current("shop", wall) == Hold(0, wall - step, wall + 7200)
        assert known.held_until("shop") == 1000.0 + 7200
    steady, wall = steady + 7200, wall + 7200
    assert known.current("shop", wall) is None
    # After a reboot only the clock on the wall is left.
    rebooted = Holds(tmp_path / "holds.json", clock("b"))
    rebooted.load()
    assert (rebooted.current("shop", wall) is None) is (step > 0)


def test_without_a_directory_nothing_is_kept() -> None:
    known = Holds(None)
    known.load()
    known.hold(["blog"], Hold(7, 0.0, None))
    assert known.held_until("blog") == math.inf


def is_locked(file: Path) -> bool:
    """Whether somebody holds it right now."""
    before = time.monotonic()
    held = locks.held(file, Held()).at
    return held is not None and held >= before


@pytest.mark.parametrize("kind", [fcntl.LOCK_SH, fcntl.LOCK_EX])
def test_a_lock_is_seen_until_it_ends(tmp_path: Path, kind: int) -> None:
    file = tmp_path / "hold"
    assert locks.held(file, Held()) == Held()
    file.touch()
    os.utime(file, (time.time() - 100,) * 2)
    with file.open() as opened:
        fcntl.flock(opened, kind)
        assert is_locked(file)
        fcntl.flock(opened, fcntl.LOCK_UN)
        assert not is_locked(file)
        assert locks.held(file, Held()).at == pytest.approx(time.monotonic() - 100, abs=5)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    file = tmp_path / "hold"
    holder = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert is_locked(file)
        process.kill()
        process.wait()
        assert not is_locked(file)


def test_what_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "hold"
    target.touch()
    link.symlink_to(target)
    with target.open() as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        assert not is_locked(link)


@pytest.mark.parametrize("step", [1e6, -1e6])
def test_the_time_of_a_file_is_taken_by_the_clock_once(tmp_path: Path, step: float) -> None:
    """However the clock is set afterwards; in the future it is now at the most."""
    file = tmp_path / "hold"
    file.touch()
    os.utime(file, (time.time() + step,) * 2)
    first = locks.held(file, Held())
    assert first.at == pytest.approx(time.monotonic() + min(0, step), abs=5)
    assert locks.held(file, first) == first
    before = time.monotonic()
    os.utime(file, (time.time() + 2e6,) * 2)
    again = locks.held(file, first)
    assert again.at is not None
    assert again.at >= before
