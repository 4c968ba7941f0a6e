"""The terminal while a verb owns it: keys as they are pressed, and everything as it was, however that ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def is_terminal() -> bool:
    """Whether somebody sits at both ends, at a terminal that can do more than print."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextlib.contextmanager
def keyboard() -> Iterator[int]:
    """Keys come singly and unseen; yields the descriptor that becomes readable with each of them."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    now = termios.tcgetattr(descriptor)
    now[3] &= ~(termios.ICANON | termios.ECHO)
    # Ctrl-Z would leave the terminal to the shell as it is now.
    now[6][termios.VSUSP] = b"\0"
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, now)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Signals that would end the process end the block instead, so that it can tidy up: status 128 and number."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        for other in _ENDING:
            signal.signal(other, signal.SIG_IGN)
        raise click.exceptions.Exit(128 + number)

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Bell:
    """Wakes a waiting `pressed` from another thread, and when the terminal changes its size."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGWINCH, lambda *_: self.ring())

    def ring(self) -> None:
        """Wake the waiting one; rung often is rung once."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def pressed(self, keyboard: int) -> str:
        """What was typed meanwhile, empty when only the bell rang. Raises EOFError when the terminal is gone."""
        ready, _, _ = select.select([keyboard, self._reader], [], [])
        if self._reader in ready:
            os.read(self._reader, 1 << 16)
        if keyboard not in ready:
            return ""
        typed = os.read(keyboard, 1 << 12)
        if not typed:
            raise EOFError
        return typed.decode(errors="ignore")
