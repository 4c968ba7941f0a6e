"""Which control groups the helper takes for a project's: only what really lies below projctl.slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from projctl import unitfile
from projctl_agent import cgroup
from projctl_agent.helper import ours
from projctl_agent.helper.requests import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "projctl-shop.service"
BELOW = "/projctl.slice/projctl-07.slice"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cgroup.controllers").touch()
    monkeypatch.setattr(cgroup, "_ROOT", tmp_path)
    return tmp_path


def test_the_mark_is_what_projctl_writes() -> None:
    assert ours.MARKER.decode() == unitfile.MARKER


@pytest.mark.parametrize("top", ["", "/user.slice/user-1000.slice/user@1000.service"])
def test_a_group_below_the_slice(root: Path, top: str) -> None:
    place = root / f"{top}{BELOW}/{UNIT}".lstrip("/")
    place.mkdir(parents=True)
    assert ours.place(UNIT, f"{top}{BELOW}/{UNIT}", f"{top}/projctl.slice") == place


@pytest.mark.parametrize(
    ("group", "top"),
    [
        (f"/system.slice/{UNIT}", "/projctl.slice"),
        (f"/projctl.slice/../system.slice/{UNIT}", "/projctl.slice"),
        (f"/projctl.slice/projctl-07.slice/../../{UNIT}", "/projctl.slice"),
        (f"/projctl.slice/other.slice/{UNIT}", "/projctl.slice"),
        (f"{BELOW}/projctl-blog.service", "/projctl.slice"),
        (f"{BELOW}/{UNIT}/deeper", "/projctl.slice"),
        (f"/projctl.slices/{UNIT}", "/projctl.slice"),
        (f"{BELOW}/{UNIT}", "/system.slice"),
        (f"{BELOW}/{UNIT}", ""),
        ("", "/projctl.slice"),
    ],
)
def test_any_other_is_refused(root: Path, group: str, top: str) -> None:
    (root / f"{BELOW}/{UNIT}".lstrip("/")).mkdir(parents=True)
    with pytest.raises(RefusedError, match="does not lie below"):
        ours.place(UNIT, group, top)


@pytest.mark.usefixtures("root")
def test_a_machine_without_control_groups_of_version_2_is_told_so() -> None:
    with pytest.raises(RefusedError, match="version 2, which this machine does not have"):
        ours.place(UNIT, f"{BELOW}/{UNIT}", "/projctl.slice")


@pytest.mark.parametrize("link", [UNIT, "projctl-07.slice", "projctl.slice"])
def test_a_link_is_refused_at_any_depth(root: Path, link: str) -> None:
    path = root / f"{BELOW}/{UNIT}".lstrip("/")
    path.mkdir(parents=True)
    linked = next(place for place in (path, *path.parents) if place.name == link)
    linked.rename(root / "elsewhere")
    linked.symlink_to(root / "elsewhere")
    with pytest.raises(RefusedError, match="does not lie below"):
        ours.place(UNIT, f"{BELOW}/{UNIT}", "/projctl.slice")
