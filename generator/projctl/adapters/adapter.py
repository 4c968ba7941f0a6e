"""What there is to know about one kind of server: how it is recognised and how it takes its socket."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from projctl.shellwords import Word, literal, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PYTHON = re.compile(r"python(3(\.\d+)?)?")
#: The number of the first descriptor that systemd passes (sd_listen_fds(3)).
FIRST_FD = 3
#: For servers that set the held socket's backlog anew: the kernel cuts it to net.core.somaxconn, as for systemd's.
BACKLOG = "65535"


_FEWER = "list one socket, or serve ASGI and WSGI applications by projctl-serve, one on each socket"


def no_variables(fds: range) -> Mapping[str, str]:
    """The environment of a server that needs no variable to find its sockets."""
    del fds
    return {}


@dataclass(frozen=True)
class Adapter:
    """One kind of server.

    `programs` and `modules` (for `python -m NAME`) tell it apart. It takes its sockets by `arguments`, added
    once for each with `{fd}` or `{index}` filled in, or by `variables` of the descriptors, or by LISTEN_FDS alone.
    `options` are added too (a flag has the value ""), each unless the command has it already; `replaced` ones,
    which name an address and take a value, are left out, since the socket stands in their place.
    `notifies`: it sends READY=1. `most_sockets`: how many it can take (None: any number). `refused` maps
    options that lose the socket to what to do instead. `stop_signal` asks it to finish what it has accepted,
    `reload_signal` to take over a changed configuration. `access_log` is a regular expression of its access
    log's lines with the groups `status` and, where it tells, `seconds` or `milliseconds`; or `json`, see
    projctl.yaml(5).
    `configured` is for one that takes a socket only at the address in its own configuration: what must stand
    there for a ListenStream= value.
    `asks` is what the program or its configuration must say itself to take the socket, as a hint.
    `launcher` is a file of projctl_runtime that the project's own Python runs in the program's place.
    """

    name: str
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    variables: Callable[[range], Mapping[str, str]] = no_variables
    notifies: bool = False
    most_sockets: int | None = None
    proxied: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    reload_signal: str | None = None
    access_log: str | None = None
    launcher: str | None = None
    asks: str | None = None
    configured: Callable[[str], str] | None = None

    def recognises(self, words: tuple[Word, ...]) -> bool:
        """Whether `words` start this kind of server directly (not through a wrapper)."""
        texts = [plain(word) for word in words]
        program = PurePosixPath(texts[0]).name
        if program in self.programs:
            return True
        by_module = texts[1:2] == ["-m"] and texts[2:3] in [[module] for module in self.modules]
        return by_module and bool(_PYTHON.fullmatch(program))

    def command(self, words: tuple[Word, ...], sockets: int = 1) -> tuple[Word, ...]:
        """The command with what it needs to take its sockets; what the manifest already says is not repeated."""
        words = self._without_replaced(words)
        added = [
            part
            for option, value in self.options.items()
            if not self._has(words, option)
            for part in (option, value)
            if part
        ]
        if not (self.arguments and self._has(words, self.arguments[0])):
            added += [
                part.format(fd=FIRST_FD + index, index=index)
                for index in range(sockets)
                for part in self.arguments
            ]
        return words + tuple(literal(argument) for argument in added)

    def launched(self, command: tuple[Word, ...], python: str, directory: str) -> tuple[Word, ...]:
        """The command by the launcher in `directory`, if it has one, and as it is where no Python runs the program.

        `python` is the program's interpreter.
        """
        by_module = [plain(word) for word in command[1:2]] == ["-m"]
        program = command[0] if by_module else literal(python)
        if not self.launcher or not PurePosixPath(plain(program)).name.startswith(("python", "pypy")):
            return command
        return program, literal(f"{directory}/{self.launcher}"), *command[3 if by_module else 1 :]

    def _without_replaced(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        kept: list[Word] = [words[0]]
        following = iter(words[1:])
        for word in following:
            text = plain(word)
            if text in self.replaced:
                next(following, None)
            elif not self._replaces(text):
                kept.append(word)
        return tuple(kept)

    def _replaces(self, text: str) -> bool:
        """Whether it is one of them with its value in the same word: `--bind=A`, `-bA`."""
        return any(text.startswith(option if len(option) == 2 else f"{option}=") for option in self.replaced)

    def environment(self, sockets: int = 1) -> Mapping[str, str]:
        """Variables it needs to take its sockets, or to tell at once what it tells."""
        return self.variables(range(FIRST_FD, FIRST_FD + sockets))

    def problems(self, words: tuple[Word, ...], sockets: int) -> list[tuple[str, str]]:
        """(message, hint) for everything that keeps this command from taking its sockets."""
        found = [
            (f'cannot run {self.name} with "{option}": it would lose the socket', hint)
            for option, hint in self.refused.items()
            if self._has(words, option)
        ]
        if self.most_sockets is not None and sockets > self.most_sockets:
            many = f"{self.most_sockets} socket" + ("s" if self.most_sockets > 1 else "")
            found.append((f"cannot listen on {sockets} sockets: {self.name} takes {many} only", _FEWER))
        return found

    @staticmethod
    def _has(words: tuple[Word, ...], option: str) -> bool:
        return any(plain(word) == option or plain(word).startswith(f"{option}=") for word in words[1:])
