"""Which trials need no repeating: a key over everything that one depends on, and the file of those that passed."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Raised whenever a trial looks at something new, so that all are run once more.
VERSION = 1
#: What tells nothing of whether a server takes its socket, or differs from start to start.
_LEFT_OUT = ("timeout", "groups")


def key(order: Mapping[str, Any]) -> str:
    """The key of a trial: its order, and size, time and place of its program."""
    facts = {name: value for name, value in order.items() if name not in _LEFT_OUT}
    variables = {name: value for name, value in order["environment"].items() if name not in order["ports"]}
    # The program and, where that is an interpreter, its script; further files are what it works on.
    files = [_look(order["directory"], word) for word in order["words"][:2]]
    facts |= {"environment": variables, "files": files}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode(errors="surrogateescape")).hexdigest()


def _look(directory: str, word: str) -> list[int]:
    try:
        status = os.stat(os.path.join(directory, word))  # noqa: PTH116, PTH118 - words need not be paths
    except (OSError, ValueError):
        return []
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def loads(text: str | None) -> dict[str, str]:
    """The keys of what passed, by project; a file that cannot be read is an empty one: trials only take time."""
    try:
        data = json.loads(text or "{}")
        found = data["passed"] if data["version"] == VERSION else {}
        return {str(name): str(value) for name, value in found.items()}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return {}


def dumps(passed: Mapping[str, str]) -> str:
    """The file's text."""
    return json.dumps({"version": VERSION, "passed": passed}, indent=0, sort_keys=True) + "\n"
