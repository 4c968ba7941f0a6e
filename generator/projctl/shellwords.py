"""A command line split into words as a POSIX shell would, without a shell; variables stay variables."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_SPACE = " \t\n"
_PLAIN = re.compile(r"[^ \t\n'\"\\$`|&;<>()#]+")
_HINT = 'write a list, [sh, -c, "exec …"], or a script of your own'


@dataclass(frozen=True)
class Variable:
    """An environment variable that systemd fills in when the command starts."""

    name: str


#: The parts of one word, in order: literal text and variables.
Word = tuple[str | Variable, ...]


class ShellSyntaxError(ValueError):
    """The text needs a shell, or is no complete command line. `hint` says what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def literal(text: str) -> Word:
    """A word that reaches the process byte for byte."""
    return (text,)


def plain(word: Word) -> str:
    """The word as one would type it, variables as `${NAME}`: for messages and for recognising options."""
    return "".join(part if isinstance(part, str) else f"${{{part.name}}}" for part in word)


def split(text: str) -> tuple[Word, ...]:
    """The words of `text`; raises ShellSyntaxError for operators, substitutions and open quotes."""
    return tuple(_Splitter(text).words())


class _Splitter:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._parts: list[str | Variable] = []
        self._open = False

    def words(self) -> list[Word]:
        found = []
        while self._at < len(self._text):
            if self._text[self._at] in _SPACE:
                self._at += 1
                found += self._close()
            else:
                self._bare()
        return found + self._close()

    def _close(self) -> list[Word]:
        word = [tuple(self._parts) or ("",)] if self._open else []
        self._parts, self._open = [], False
        return word

    def _add(self, part: str | Variable) -> None:
        self._open = True
        if isinstance(part, str) and self._parts and isinstance(self._parts[-1], str):
            self._parts[-1] += part
        elif part != "":
            self._parts.append(part)

    def _bare(self) -> None:
        c = self._text[self._at]
        if c == "'":
            self._single_quoted()
        elif c == '"':
            self._double_quoted()
        elif c == "\\":
            self._escaped()
        elif c in "$`":
            self._variable()
        elif c in "|&;<>()":
            raise ShellSyntaxError(f'cannot use the shell operator "{c}": no shell runs the command', _HINT)
        elif c == "#" and not self._open:
            raise ShellSyntaxError('cannot hold a shell comment ("#")', "put the word in quotes")
        else:
            self._add(self._run_of_plain())

    def _run_of_plain(self) -> str:
        found = _PLAIN.match(self._text, self._at)
        end = found.end() if found else self._at + 1
        text = self._text[self._at : end]
        self._at = end
        return text

    def _single_quoted(self) -> None:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise ShellSyntaxError("must close its single quote")
        self._add(self._text[self._at + 1 : end])
        self._at = end + 1

    def _double_quoted(self) -> None:
        self._at += 1
        self._add("")
        while self._at < len(self._text):
            c = self._text[self._at]
            if c == '"':
                self._at += 1
                return
            if c in "$`":
                self._variable()
            elif c == "\\" and self._text[self._at + 1 : self._at + 2] in tuple('$`"\\\n'):
                self._escaped()
            else:
                self._add(c)
                self._at += 1
        raise ShellSyntaxError("must close its double quote")

    def _escaped(self) -> None:
        if self._at + 1 >= len(self._text):
            raise ShellSyntaxError("cannot end in a backslash")
        following = self._text[self._at + 1]
        self._add("" if following == "\n" else following)
        self._at += 2

    def _variable(self) -> None:
        if match := _NAME.match(self._text, self._at):
            self._add(Variable(match[1] or match[2]))
            self._at = match.end()
        elif self._text[self._at] == "`" or self._text[self._at + 1 : self._at + 2] in tuple("({"):
            raise ShellSyntaxError("cannot use a shell substitution: no shell runs the command", _HINT)
        elif self._text[self._at + 1 : self._at + 2] in tuple("0123456789@*#?$!-"):
            shown = self._text[self._at : self._at + 2]
            hint = "put it in single quotes to keep it as it is"
            raise ShellSyntaxError(f'cannot use the shell\'s own variable "{shown}"', hint)
        else:
            self._add("$")
            self._at += 1
