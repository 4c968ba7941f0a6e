"""Projects in real directories, and what is found of them, for the tests of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import machine
from projctl.diagnostics import Mark
from projctl.model import Fleet, Project

if TYPE_CHECKING:
    from pathlib import Path

    from projctl.machine import Facts


def script(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def look(
    path: Path | str, run: object = "sh", *, user_mode: bool = False, **more: object
) -> tuple[Facts | None, list[str]]:
    project = Project(name="shop", path=str(path), run=run, **more)  # type: ignore[arg-type]
    fleet = Fleet(projects={"shop": project}, marks={("shop",): Mark("m.yaml", 3, 1)})
    facts, problems = machine.inspect(fleet, user_mode=user_mode)
    assert all(problem.mark and problem.path for problem in problems)
    return facts.get("shop"), [
        str(problem).removeprefix("m.yaml:3:1: $.projects.shop.") for problem in problems
    ]


def facts_of(path: Path, run: object = "sh", **more: object) -> Facts:
    facts, problems = look(path, run, **more)  # type: ignore[arg-type]
    assert problems == []
    assert facts
    return facts


def complaint(path: Path | str, run: object = "sh", **more: object) -> str:
    facts, problems = look(path, run, **more)  # type: ignore[arg-type]
    assert facts is None
    assert len(problems) == 1
    return problems[0]
