"""What goes to PyPI: the wheel is whole and runs, and the source distribution alone makes the same wheel."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("generator/projctl", "agent/projctl_agent", "runtime/projctl_runtime")
PROGRAMS = ("projctl", "projctl-agent", "projctl-agent-helper", "projctl-serve")


def build(tree: Path, kind: str, directory: Path) -> Path:
    """A wheel or a source distribution of a tree, built by the tools that are here."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(directory)]
    said = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    (built,) = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    source = build(ROOT, "sdist", tmp_path / "sdist")
    (unpacked := tmp_path / "tree").mkdir()
    # Not tarfile: the Python of Debian 12 does not know the filter that later ones ask for.
    subprocess.run(["tar", "-xf", source, "-C", unpacked], check=True)
    (tree,) = unpacked.iterdir()
    again = build(tree, "wheel", tmp_path / "again")
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def test_the_wheel_is_whole(wheel: Path) -> None:
    """Every module and every unit, at the top only the three packages."""
    inside = set(contents(wheel))
    modules = {
        str(path.relative_to((ROOT / package).parent))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    units = {f"projctl/units/{path.name}" for path in (ROOT / "units").iterdir()}
    assert len(modules) > 200 and len(units) > 20
    assert modules | units <= inside
    rest = inside - modules - units
    assert all(name.partition("/")[0].endswith(".dist-info") for name in rest), rest


def test_an_installed_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, as pipx makes one; what it depends on is lent to it by the one around."""
    home = tmp_path / "home"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    paths = {"base": str(home), "platbase": str(home)}
    libraries = Path(sysconfig.get_path("purelib", "venv", paths))
    (libraries / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", home / "bin/python", *install], check=True)

    def told(program: str, *words: str) -> str:
        command = [home / "bin" / program, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    version = wheel.name.split("-")[1]
    for program in PROGRAMS:
        assert version in told(program, "--version"), program
    (tmp_path / "shop.yaml").write_text(
        "version: 1\nprojects: {shop: {path: /srv, run: node a.js, listen: 3400}}\n"
    )
    assert "ListenStream=3400\n" in told("projctl", "render", "--file", "shop.yaml")
    assert told("python", "-c", "import projctl; print(projctl.__file__)").startswith(str(libraries))
