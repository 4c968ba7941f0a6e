"""Manifests in files, loaded or refused, for their tests."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

from projctl import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from projctl.diagnostics import Problem
    from projctl.model import Fleet

ONE = "version: 1\nprojects:\n  shop: {path: /srv, run: x}\n"


def write(directory: Path, **texts: str) -> list[Path]:
    """A file NAME.yaml for each text, in order."""
    files = []
    for name, text in texts.items():
        files.append(directory / f"{name}.yaml")
        files[-1].write_text(dedent(text))
    return files


def load(files: list[Path], *, layered: bool = True) -> Fleet:
    """The fleet of files in which nothing is wrong."""
    fleet, problems = manifest.load(files, layered=layered)
    assert not problems, "\n".join(str(problem) for problem in problems)
    return fleet


def refused(files: list[Path], *, layered: bool = True) -> list[Problem]:
    """The problems of files in which something is wrong."""
    _, problems = manifest.load(files, layered=layered)
    assert problems
    return problems
