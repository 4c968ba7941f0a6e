"""One run of soaks: how much of the full counts, what is shown on the way, and the tables that are kept."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Run:
    """`share` of the full counts; tables go to the terminal and, as Markdown, to a file."""

    share: float = 1.0
    markdown: Path | None = None
    #: Goals that were not reached.
    missed: list[str] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)

    def scaled(self, count: int) -> int:
        """So many in this run."""
        return max(1, round(count * self.share))

    def begin(self) -> None:
        """Write down where and when."""
        version = subprocess.run(
            ["systemctl", "--version"], capture_output=True, text=True, check=True
        ).stdout
        commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False)
        facts = (
            time.strftime("%Y-%m-%d %H:%M:%S %Z"),
            f"commit {commit.stdout.strip() or 'unknown'}",
            version.splitlines()[0],
            f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the beginning",
            f"{100 * self.share:g} % of the full counts",
        )
        print("\n".join(facts), flush=True)
        if self.markdown:
            self.markdown.write_text("".join(f"- {fact}\n" for fact in facts))

    def title(self, name: str, text: str) -> None:
        """A soak begins."""
        print(f"\n== {name}: {text}", flush=True)
        self._keep(f"\n## {name}\n\n{text[0].upper()}{text[1:]}.\n")

    def progress(self, text: str) -> None:
        """A line on the way."""
        print(f"[{time.monotonic() - self._begun:6.0f} s] {text}", flush=True)

    def show(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table."""
        table.show(head, rows)
        lines = [head, ["---"] * len(head), *rows]
        self._keep("\n" + "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines))

    def remark(self, heading: str, lines: Sequence[str]) -> None:
        """A list below a table."""
        print(f"\n{heading}", *lines, sep="\n", flush=True)
        self._keep(f"\n{heading}:\n\n" + "".join(f"- {line}\n" for line in lines))

    def expect(self, reached: object, goal: str) -> None:
        """Note a goal that was missed."""
        if not reached:
            self.missed.append(goal)
            print(f"MISSED: {goal}", flush=True)

    def _keep(self, text: str) -> None:
        if self.markdown:
            with self.markdown.open("a") as file:
                file.write(text)
