"""systemd's unit text: quoting for each kind of directive, and reading it back.

Sources: systemd.syntax(7), systemd.service(5) "COMMAND LINES", systemd.exec(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projctl.diagnostics import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from projctl.shellwords import Word

MARKER = "# Rendered by projctl "

#: The separators at the end end lines for some readers, though not for systemd.
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"} | {
    c: f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"
}
_SPECIAL = re.compile(r'[\\"\n\t%\x85\u2028\u2029]')
#: What systemd takes for white space, and for the end of a line; Python takes more.
_SPACE = " \t\n\r"
_LINE_END = re.compile("[\n\r\0]")


class UnitTextError(ValueError):
    """A value that a unit file cannot carry in this place."""


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
    """A whole command line for ExecStart=; every word is quoted, so a lone `;` separates nothing.

    systemd fills in variables in what the program is told as its own name, but not in the path it starts.
    """
    first, *rest = words
    path = "".join(part for part in first if isinstance(part, str))
    named = [f'@"{_quoted(path)}"'] if "$" in path and len(first) == 1 else []
    return " ".join([*named, *(exec_word(word) for word in (first, *rest))])


def assignment(name: str, value: str) -> str:
    """One Environment= assignment; a `$` in it is literal for systemd."""
    return f'"{name}={_quoted(value)}"'


def rest_of_line(text: str) -> str:
    """A value for directives that take the rest of their line (WorkingDirectory=, EnvironmentFile=, …).

    Raises UnitTextError for what such a line cannot carry: line breaks, a last backslash, outer white space.
    """
    if "\n" in text or "\r" in text or text.endswith("\\") or text != text.strip():
        raise UnitTextError(f"cannot write {text!r} into a unit file")
    return text.replace("%", "%%")


def path_word(path: str) -> str:
    """A path as one word of BindPaths= and its like.

    Raises UnitTextError for `:`, quotes and backslashes, which these directives read twice.
    """
    if re.search(r"[:\"'\\\n]", path):
        raise UnitTextError(f"cannot bind the path {path!r}: it holds a colon, a quote or a backslash")
    return f'"{path.replace("%", "%%")}"'


def marker(version: str, origin: str) -> str:
    """The first line of every file of ours: what rendered it, from where, and how to change it."""
    return f"{MARKER}{version} from {one_line(origin)}; change it there, then run: projctl apply"


def is_ours(text: str) -> bool:
    """Whether projctl rendered this file and may therefore replace or delete it."""
    return text.startswith(MARKER)


def parse(text: str) -> Sections:
    """The directives of unit text, as systemd divides it into lines."""
    sections: Sections = {}
    current: list[tuple[str, str]] = []
    for line in logical_lines(text):
        stripped = line.strip(_SPACE)
        if stripped.startswith("[") and stripped.endswith("]"):
            current = sections.setdefault(stripped[1:-1], [])
        elif "=" in stripped:
            key, _, value = stripped.partition("=")
            current.append((key.strip(_SPACE), value.strip(_SPACE)))
    return sections


def logical_lines(text: str) -> Iterator[str]:
    """Lines as systemd reads them: a last backslash continues, comments are left out, in between too."""
    joined = ""
    for line in _LINE_END.split(text):
        if line.lstrip(_SPACE).startswith(("#", ";")):
            continue
        joined += line
        if (len(joined) - len(joined.rstrip("\\"))) % 2:
            joined = f"{joined[:-1]} "
            continue
        if joined.strip(_SPACE):
            yield joined
        joined = ""
    if joined.strip(_SPACE):
        yield joined


def values(sections: Mapping[str, list[tuple[str, str]]], section: str, key: str) -> list[str]:
    """The values of one key, in order; an empty assignment resets the list, as in systemd."""
    found: list[str] = []
    for name, value in sections.get(section, []):
        if name == key:
            found = [*found, value] if value else []
    return found
