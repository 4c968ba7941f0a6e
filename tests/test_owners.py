"""Whose projects are whose: what a run keeps, removes, and must not take over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROJCTL = [sys.executable, "-m", "projctl"]


class Home:
    """A user's home with units installed by hand, as an apply would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.units = directory / "config/systemd/user"
        self.units.mkdir(parents=True)
        (directory / "there").mkdir()

    def manifest(self, name: str, *projects: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (f"  {p}: {{path: /, run: /usr/bin/env, server: native, listen: unix}}\n" for p in projects)
        path.write_text(
            "version: 1\nprojects:\n" + "".join(lines) if projects else "version: 1\nprojects: {}\n"
        )
        return path

    def run(self, *words: str, directory: str = ".") -> subprocess.CompletedProcess[str]:
        environment = {
            "XDG_CONFIG_HOME": str(self.directory / "config"),
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_RUNTIME_DIR": "/nonexistent",
        }
        return subprocess.run(
            [*PROJCTL, *words], capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, **environment}, cwd=self.directory / directory,
        )  # fmt: skip

    def install(self, *files: str, directory: str = ".") -> None:
        words = [word for file in files for word in ("-f", file)]
        done = self.run("render", "--user", *words, "-o", str(self.units), directory=directory)
        assert done.returncode == 0, done.stderr

    def diff(self, *files: str, directory: str = ".") -> subprocess.CompletedProcess[str]:
        return self.run("diff", "--user", *(w for f in files for w in ("-f", f)), directory=directory)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def removed(diff: subprocess.CompletedProcess[str]) -> set[str]:
    assert diff.returncode == 0, diff.stderr
    return set(re.findall(r"^--- installed/(\S+)\s*\n\+\+\+ /dev/null", diff.stdout, re.MULTILINE))


@pytest.mark.parametrize("name", ["shop.yaml", "a\u2028b.yaml", "50%.yaml", "a; b:1.yaml"])
def test_a_manifest_is_the_same_however_it_is_named(home: Home, name: str) -> None:
    home.manifest(name, "shop", "old")
    home.install(f"../{name}", directory="there")
    home.manifest(name, "shop")
    for file, directory in ((name, "."), (f"./there/../{name}", "."), (f"../{name}", "there")):
        done = home.diff(file, directory=directory)
        assert removed(done) == {"projctl-old.service", "projctl-old.socket"}
        assert done.stderr == ""


def test_what_another_manifest_still_names_is_not_taken(home: Home) -> None:
    first, second = home.manifest("one.yaml", "blog", "shop"), home.manifest("two.yaml", "shop")
    home.install("one.yaml")
    done = home.diff("two.yaml")
    assert done.returncode == 1 and done.stdout == ""
    assert (
        f"two.yaml:3:3: $.projects.shop: cannot take over what is installed from another manifest: {first}:4\n"
        in (done.stderr)
    )
    assert "hint: remove it there first" in done.stderr and "blog" not in done.stderr
    # One that cannot be read may name it.
    first.write_text("projects: {")
    assert f"another manifest: {first}\n" in home.diff("two.yaml").stderr
    # Whatever else is wrong with it.
    first.write_text("projects: {blog: 3}\n")
    assert home.diff("two.yaml").returncode == 0
    home.manifest("one.yaml", "shop")
    assert home.diff("one.yaml", "two.yaml").returncode == 0
    first.unlink()
    assert home.diff("two.yaml").returncode == 0
    first.symlink_to(second)
    assert home.diff("two.yaml").returncode == 0


def test_a_project_of_unknown_origin_stays(home: Home) -> None:
    home.manifest("one.yaml", "shop", "odd")
    home.install("one.yaml")
    home.manifest("one.yaml", "shop")
    for unit in home.units.glob("projctl-odd.*"):
        text = re.sub("(?m)^Manifest=.*\n", "", unit.read_text())
        unit.write_text(re.sub("^(# Rendered by projctl )[^;]*;", r"\1by hand;", text))
    done = home.diff("one.yaml")
    assert removed(done) == set()
    assert 'warning: cannot tell which manifest the installed project "odd" came from' in done.stderr


def test_a_unit_that_lost_its_service_is_still_ours(home: Home) -> None:
    """As a run leaves it that was killed between two deletions."""
    home.manifest("one.yaml", "shop", "old")
    home.install("one.yaml")
    home.manifest("one.yaml", "shop")
    (home.units / "projctl-old.service").unlink()
    done = home.diff("one.yaml")
    assert removed(done) == {"projctl-old.socket"} and done.stderr == ""
