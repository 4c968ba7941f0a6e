"""Formatting, types, spelling and shell scripts are held by tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHELL = [
    path
    for path in sorted([*ROOT.glob(".ci/*"), *ROOT.glob("packaging/**/*")])
    if path.is_file() and path.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy"],
        ["codespell"],
    ],
    ids=" ".join,
)
def test_python(command: list[str]) -> None:
    program = str(Path(sys.executable).with_name(command[0]))
    result = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shell(script: Path) -> None:
    result = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
