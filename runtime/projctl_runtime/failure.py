"""What keeps the runner from serving, in one line for whoever reads the log."""

from __future__ import annotations


class RunnerError(Exception):
    """A server that cannot start; its text is one line without a traceback. The cause is chained where there is one."""


def reason(error: BaseException) -> str:
    """An exception in one line: its text for what names itself, else with its type."""
    text = " ".join(str(error).split())
    if isinstance(error, ImportError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
