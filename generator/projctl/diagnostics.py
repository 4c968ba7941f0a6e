"""Problems: what is wrong, where it stands, how to mend it, and how that prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal


class Mark(NamedTuple):
    """A place in a manifest: 1-based line and column, the source line and the width to underline."""

    file: str
    line: int
    column: int
    source: str = ""
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def place(self) -> str:
        """The place without its column, as messages about a second place name it."""
        return f"{self.file}:{self.line}"


class Problem(NamedTuple):
    """One thing that is wrong. `path` is the key's place in the manifest, such as `$.projects.shop.path`."""

    message: str
    mark: Mark | None = None
    path: str | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        head = "warning: " if self.severity == "warning" else ""
        where = "".join(f"{one_line(str(part))}: " for part in (self.mark, self.path) if part)
        lines = [f"{where}{head}{printable(self.message)}"]
        if self.mark and self.mark.source:
            lines += _excerpt(self.mark)
        if self.hint:
            lines.append(f"hint: {printable(self.hint)}")
        return "\n".join(lines)


#: Characters of a source line that are shown: enough for any line that is meant to be read.
_SHOWN = 120


def _excerpt(mark: Mark) -> list[str]:
    start = mark.column - 1
    first = max(0, start - _SHOWN // 2) if len(mark.source) > _SHOWN else 0
    shown = [one_line(c) for c in mark.source[first : first + _SHOWN].replace("\t", " ")]
    before, under = shown[: start - first], shown[start - first :][: max(1, mark.width)]
    number = str(mark.line)
    caret = " " * len("".join(before)) + "^" * max(1, len("".join(under)))
    return [f"    {number} | {''.join(shown)}", f"    {' ' * len(number)} | {caret}"]


def one_line(text: str) -> str:
    """As printable, and with line breaks shown as escapes too: for what must stay on its line."""
    return printable(text).replace("\n", "\\n")


def printable(text: str) -> str:
    """The text with control characters shown as escapes, so that no input can drive a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class ProjctlError(Exception):
    """Ends a verb with exit status 1; carries every problem that was found."""

    def __init__(self, *problems: Problem | str, hint: str | None = None) -> None:
        self.problems = tuple(Problem(p, hint=hint) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def ordered(problems: Iterable[Problem]) -> list[Problem]:
    """The problems in reading order: by file and place, those without a place last; doubles once."""
    key = lambda p: (p.mark is None, p.mark or Mark("", 0, 0))  # noqa: E731
    return sorted(dict.fromkeys(problems), key=key)


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Only those that must stop the verb."""
    return [problem for problem in problems if problem.severity == "error"]


def raise_errors(problems: Iterable[Problem]) -> None:
    """Raise all problems as one ProjctlError when at least one is an error."""
    found = ordered(problems)
    if errors(found):
        raise ProjctlError(*found)
