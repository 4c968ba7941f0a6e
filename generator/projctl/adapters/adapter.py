"""What there is to know about one kind of server: how it is recognised and how it takes its socket."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from projctl.shellwords import Word, literal, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_PYTHON = re.compile(r"python(3(\.\d+)?)?")


@dataclass(frozen=True)
class Adapter:
    """One kind of server.

    `programs` and `modules` (for `python -m NAME`) tell it apart; `arguments` are added to its command;
    `notifies` means it sends READY=1; `most_sockets` is how many it can take (None: any number); `refused` maps
    options that lose the socket to what to do instead; `stop_signal` asks it to finish what it has accepted.
    """

    name: str
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    notifies: bool = False
    most_sockets: int | None = None
    proxied: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"

    def recognises(self, words: tuple[Word, ...]) -> bool:
        """Whether `words` start this kind of server directly (not through a wrapper)."""
        texts = [plain(word) for word in words]
        program = PurePosixPath(texts[0]).name
        if program in self.programs:
            return True
        return (
            bool(_PYTHON.fullmatch(program))
            and texts[1:2] == ["-m"]
            and texts[2:3] in [[m] for m in self.modules]
        )

    def command(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """The command with what it needs to take the socket; what the manifest already says is not repeated."""
        if self.arguments and self._has(words, self.arguments[0]):
            return words
        return words + tuple(literal(argument) for argument in self.arguments)

    def problems(self, words: tuple[Word, ...], sockets: int) -> list[tuple[str, str]]:
        """(message, hint) for everything that keeps this command from taking its sockets."""
        found = [
            (f'cannot run {self.name} with "{option}": it would lose the socket', hint)
            for option, hint in self.refused.items()
            if self._has(words, option)
        ]
        if self.most_sockets is not None and sockets > self.most_sockets:
            many = f"{self.most_sockets} socket" + ("s" if self.most_sockets > 1 else "")
            found.append(
                (f"cannot listen on {sockets} sockets: {self.name} takes {many} only", "list one socket")
            )
        return found

    @staticmethod
    def _has(words: tuple[Word, ...], option: str) -> bool:
        return any(plain(word) == option or plain(word).startswith(f"{option}=") for word in words[1:])
