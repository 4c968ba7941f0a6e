"""The text of a manifest: bounded in length, UTF-8, without control characters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projctl.diagnostics import Mark, Problem, ProjctlError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 << 20
#: All that YAML 1.1 takes for the end of a line; its parsers count lines by it.
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")


def read(file: Path) -> str:
    """The text of a file, without a byte order mark; raises ProjctlError where it is not plain UTF-8 text."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ProjctlError(unreadable(file, error)) from None
    if len(data) > MAX_BYTES:
        raise ProjctlError(f"cannot read {file}: it must be at most {MAX_BYTES >> 20} MiB long")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        mark = mark_at(str(file), before, len(before))
        raise ProjctlError(
            Problem(f"must be UTF-8 text, the byte 0x{data[error.start]:02x} is not", mark)
        ) from None
    if found := _UNPRINTABLE.search(text):
        mark = mark_at(str(file), text, found.start())
        raise ProjctlError(Problem(f"cannot hold the control character U+{ord(found[0]):04X}", mark))
    return text


def unreadable(path: Path, error: OSError | ValueError) -> Problem:
    """That the system refused to read `path`, in its own words."""
    if isinstance(error, IsADirectoryError):
        return Problem(f"cannot read {path}: it is a directory", hint="name the files in it, each with -f")
    reason = getattr(error, "strerror", None) or str(error)
    return Problem(f"cannot read {path}: {reason[:1].lower()}{reason[1:]}")


def mark_at(file: str, text: str, offset: int) -> Mark:
    """The place of the character at `offset`."""
    before = LINE_BREAK.split(text[:offset])
    rest = LINE_BREAK.split(text[offset : offset + 200])[0]
    return Mark(file, len(before), len(before[-1]) + 1, before[-1] + rest)
