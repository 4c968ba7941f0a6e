"""What the systemd generator reads: its switch, and the units that were kept for it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from projctl.installed import marks_of_down
from projctl.names import RESERVED_NAMES
from projctl.scope import Scope
from projctl.unitgenerator import configuration, emission, store
from projctl.unitgenerator.store import Entry, Store

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = Entry("/etc/projctl/projects.d/a.yaml", "0a", ["projctl-shop.socket"], {"http": (None, 3400)})


@pytest.mark.parametrize(
    ("text", "enabled"),
    [
        ("", False),
        ("[Generator]\n# Enabled=yes\n", False),
        ("[Generator]\nEnabled = On\n", True),
        ("Enabled=0", False),
    ],
)
def test_switch(tmp_path: Path, text: str, enabled: bool) -> None:
    (tmp_path / "generator.conf").write_text(text)
    assert configuration.is_enabled(str(tmp_path / "generator.conf")) is enabled
    assert not configuration.is_enabled(str(tmp_path / "none"))


@pytest.mark.parametrize("text", ["\nEnable=yes", "\nEnabled=perhaps", "\n[Other]"])
def test_a_wrong_switch_names_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "generator.conf").write_text(text)
    with pytest.raises(ValueError, match=r"generator.conf:2:1: must be"):
        configuration.is_enabled(str(tmp_path / "generator.conf"))


def test_a_store_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / store.INDEX).write_text(store.dumps({"/a.yaml": "1"}, {"shop": ENTRY}, ["blog"]))
    (tmp_path / "projctl-shop.socket").write_text("[Socket]\n")
    found = store.read(str(tmp_path))
    assert (found.manifests, found.kept, found.projects["shop"].ports) == (
        {"/a.yaml": "1"},
        ["blog"],
        ENTRY.ports,
    )
    assert found.texts("shop") == {"projctl-shop.socket": "[Socket]\n"}
    (tmp_path / "projctl-shop.socket").unlink()
    assert found.texts("shop") is None


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"version": 9}', '"projctl-shop.socket"|"../../shadow"', '"0a"|1', "3400|null"]
)
def test_a_damaged_store_is_an_empty_one(tmp_path: Path, damage: str) -> None:
    text = store.dumps({"/a.yaml": "1"}, {"shop": ENTRY})
    old, _, new = damage.rpartition("|")
    assert old in text
    (tmp_path / store.INDEX).write_text(text.replace(old, new) if old else damage)
    found = store.read(str(tmp_path))
    assert isinstance(found, Store) and not found.projects and not found.manifests


def test_only_what_says_otherwise_goes_above_an_installed_unit(tmp_path: Path) -> None:
    (tmp_path / "projctl-a.service").write_text("# from a:1\n[Service]\nExecStart=a\n")
    places = emission.Places("/n", "/e", str(tmp_path))
    same, other = "# from a:9\n[Service]\nExecStart=a\n", "[Service]\nExecStart=b\n"
    assert emission.plan(places, {"projctl-a.service": same}) == {}
    assert emission.plan(places, {"projctl-a.service": other}) == {"/e/projctl-a.service": other}
    assert emission.plan(places, {"projctl-b.service": other}) == {"/n/projctl-b.service": other}


def test_no_project_owns_what_root_reads() -> None:
    """A project's runtime directory has its name, and its user writes there."""
    scope = Scope()
    sockets = [scope.runtime / "agent.sock", scope.runtime / "helper.sock"]
    names = {path.name.removesuffix(".sock") for path in (scope.generated, marks_of_down(scope), *sockets)}
    assert names <= RESERVED_NAMES


@pytest.mark.parametrize("words", [[], ["a", "b"], ["--dry"], ["-a", "b", "c"]])
def test_usage(words: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "projctl.unitgenerator", *words], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: projctl-generator")
