"""A checkpoint is read back whole, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import spoiling
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import checkpoint
from projctl_agent.entry import Entry, Kind
from projctl_agent.lifecycle import Ledger

if TYPE_CHECKING:
    from pathlib import Path


def ledger() -> Ledger:
    made = Ledger()
    made.feed([Entry(Kind.STARTED, "projctl-web.service", "a" * 32, "b" * 32, 5, 5)])
    return made


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    checkpoint.save(path, ledger(), "s=1;i=2")
    checkpoint.save(path, ledger(), "s=1;i=3")
    assert checkpoint.load(path) == (ledger(), "s=1;i=3")
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.json"]


def test_a_missing_file_is_an_empty_ledger(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none") == (Ledger(), "")


def test_a_failed_save_keeps_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        checkpoint.save(tmp_path / "missing" / "checkpoint.json", ledger(), "")
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_damaged_text_is_refused_or_reads_as_a_ledger(place: int, character: str) -> None:
    text = checkpoint.dump(ledger(), "s=1")
    place %= len(text)
    damaged = text[:place] + character + text[place + 1 :]
    try:
        found, _ = checkpoint.parse(damaged)
    except ValueError:
        return
    found.feed([Entry(Kind.SUCCESS, "projctl-web.service", "a" * 32, "b" * 32, 9, 9)])
    checkpoint.parse(checkpoint.dump(found, ""))


@given(st.integers(0, 10_000))
def test_a_cut_text_is_refused(length: int) -> None:
    text = checkpoint.dump(ledger(), "s=1")
    with pytest.raises(ValueError):  # noqa: PT011  which of many things is missing depends on the cut
        checkpoint.parse(text[: length % len(text)])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("cursor",), None),
        (("ledger", "boot"), 1),
        (("ledger", "projects", "web", "starts"), -1),
        (("ledger", "projects", "web", "starts"), True),
        (("ledger", "projects", "web", "stops"), {"idle": "1"}),
        (("ledger", "projects", "web", "durations"), [1]),
        (("ledger", "projects", "web", "unknown"), 1),
        (("ledger", "projects", "web", "runs"), {"a": {}}),
        (("ledger", "projects", 'a"} 1'), {}),
        (("ledger",), []),
    ],
)
def test_what_dump_did_not_write_is_refused(path: tuple[str, ...], value: object) -> None:
    spoiling.refuses(checkpoint.parse, checkpoint.dump(ledger(), "s=1"), path, value)
