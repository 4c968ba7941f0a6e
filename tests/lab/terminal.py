"""A terminal of the tests' own, with a command of a lab on it: what it shows, and whether it is left as it was."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import struct
import termios
import time
from fcntl import ioctl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from projctl.lab import Lab
    from projctl.lab.commands import Command

HOME, ALTERNATE, NORMAL, HIDDEN, SHOWN = "\x1b[H", "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?25h"
_STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """The side of the person at it; the command's side stays open, so that its settings can be asked at any time."""

    def __init__(self, rows: int, columns: int) -> None:
        self._person, self.command_side = pty.openpty()
        self.resize(rows, columns)
        self.before = self.settings()
        self.text = ""

    def settings(self) -> list[Any]:
        """All that termios knows."""
        return termios.tcgetattr(self.command_side)

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self.command_side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._person, text.encode())

    def read(self) -> str:
        """All that was written so far."""
        while select.select([self._person], [], [], 0)[0]:
            self.text += os.read(self._person, 1 << 16).decode()
        return self.text

    def frame(self) -> list[str]:
        """The lines of the last picture, without styles."""
        last = self.read().rpartition(HOME)[2]
        return [line.rstrip() for line in _STYLE.sub("", last).replace("\r", "").split("\n")]

    def wait(self, what: Callable[[list[str]], object], seconds: float = 60.0) -> list[str]:
        """The first picture for which `what` holds; its last lines may be on their way still."""
        end = time.monotonic() + seconds
        while not what(frame := self.frame()):
            assert time.monotonic() < end, "\n".join(frame)
            time.sleep(0.02)
        return frame

    def close(self) -> None:
        os.close(self._person)
        os.close(self.command_side)


@contextlib.contextmanager
def running(
    lab: Lab, argv: Sequence[str], env: dict[str, str], rows: int = 24, columns: int = 100
) -> Iterator[tuple[Terminal, Command]]:
    """A command that has this terminal to itself, as from a log-in."""
    terminal = Terminal(rows, columns)
    side = terminal.command_side
    words = ["setsid", "--ctty", "--wait", *argv]
    command = lab.popen(words, env={"TERM": "xterm-256color", **env}, stdin=side, stdout=side, stderr=side)
    try:
        yield terminal, command
    finally:
        command.kill()
        command.wait()
        terminal.close()
