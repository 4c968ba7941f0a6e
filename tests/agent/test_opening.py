"""The journal opened while it is rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl_agent import opening

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_is_renamed_while_it_is_opened_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active, rotated = tmp_path / "system.journal", tmp_path / "system@1.journal"
    active.touch()
    seen: list[set[str]] = []

    class Reader:
        """Finds the files by name, as sd-journal does; journald rotates the first time."""

        def __init__(self, **_: int) -> None:
            if not rotated.exists():
                active.rename(rotated)
                active.touch()
                seen.append({active.name})
            else:
                seen.append({path.name for path in tmp_path.iterdir()})

        def close(self) -> None:
            seen.append(set())

    monkeypatch.setattr(opening, "_PLACES", (tmp_path,))
    monkeypatch.setattr(opening.sd, "Reader", Reader)
    opening.open_journal(0)
    assert seen == [{active.name}, set(), {active.name, rotated.name}]
