"""The processes of control groups, of which one may go at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl_agent import cgroup

if TYPE_CHECKING:
    from pathlib import Path


def test_a_group_that_goes_meanwhile_is_no_end_of_the_others(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}/below").mkdir(parents=True)
        (tmp_path / f"{number}/below/cgroup.procs").write_text(f"{number}\n{number + 100}\n")
        (tmp_path / f"{number}/cgroup.procs").write_text("")
    (tmp_path / "4/below/cgroup.procs").unlink()
    expected = {*range(9), *range(100, 109)} - {4, 104}
    assert set(cgroup.processes(tmp_path)) == expected
    assert list(cgroup.processes(tmp_path / "4/below")) == []
    assert list(cgroup.processes(tmp_path / "gone")) == []
