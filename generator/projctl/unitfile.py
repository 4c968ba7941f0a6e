"""systemd's unit text: quoting for each kind of directive, and reading it back.

Sources: systemd.syntax(7), systemd.service(5) "COMMAND LINES", systemd.exec(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projctl.diagnostics import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projctl.shellwords import Word

MARKER = "# Rendered by projctl "

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"}
_SPECIAL = re.compile(r'[\\"\n\t%]')

#: The directives of a unit file: section → [(key, value), …] in order of appearance.
Sections = dict[str, list[tuple[str, str]]]


def _quoted(text: str) -> str:
    """Text inside double quotes, C escapes and specifiers neutralised; no `$` handling."""
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text)


def exec_word(word: Word) -> str:
    """One argument of ExecStart=: literal parts stay literal, variables are filled in by systemd."""
    parts = (
        _quoted(part).replace("$", "$$") if isinstance(part, str) else f"${{{part.name}}}" for part in word
    )
    return f'"{"".join(parts)}"'


def exec_line(words: Iterable[Word]) -> str:
    """A whole command line for ExecStart=; every word is quoted, so a lone `;` separates nothing."""
    return " ".join(exec_word(word) for word in words)


def assignment(name: str, value: str) -> str:
    """One Environment= assignment; a `$` in it is literal for systemd."""
    return f'"{name}={_quoted(value)}"'


def rest_of_line(text: str) -> str:
    """A value for directives that take the rest of their line (WorkingDirectory=, EnvironmentFile=, …).

    Raises ValueError for what such a line cannot carry: line breaks, a last backslash, outer white space.
    """
    if "\n" in text or "\r" in text or text.endswith("\\") or text != text.strip():
        raise ValueError(f"cannot write {text!r} into a unit file")
    return text.replace("%", "%%")


def path_word(path: str) -> str:
    """A path as one word of BindPaths= and its like.

    Raises ValueError for `:`, quotes and backslashes, which these directives read twice.
    """
    if re.search(r"[:\"'\\\n]", path):
        raise ValueError(f"cannot bind the path {path!r}: it holds a colon, a quote or a backslash")
    return f'"{path.replace("%", "%%")}"'


def marker(version: str, origin: str) -> str:
    """The first line of every file of ours: what rendered it, from where, and how to change it."""
    return f"{MARKER}{version} from {one_line(origin)}; change it there, then run: projctl apply"


def is_ours(text: str) -> bool:
    """Whether projctl rendered this file and may therefore replace or delete it."""
    return text.startswith(MARKER)


def parse(text: str) -> Sections:
    """The directives of unit text; comments are dropped, continued lines joined."""
    sections: Sections = {}
    current: list[tuple[str, str]] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("[") and stripped.endswith("]"):
            current = sections.setdefault(stripped[1:-1], [])
        elif "=" in stripped:
            key, _, value = stripped.partition("=")
            current.append((key.strip(), value.strip()))
    return sections


def values(sections: Mapping[str, list[tuple[str, str]]], section: str, key: str) -> list[str]:
    """The values of one key, in order; an empty assignment resets the list, as in systemd."""
    found: list[str] = []
    for name, value in sections.get(section, []):
        if name == key:
            found = [*found, value] if value else []
    return found
