"""Files of the state directory: read as a whole, checked value by value, replaced at once."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

from projctl_agent.names import instance_of_service


def read(path: Path) -> str | None:
    """The text of a file, None where there is none. Raises ValueError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def replace(path: Path, content: str, *, surely: bool = True) -> None:
    """Replace a file at once: a crash leaves the old one or the new one, a power cut too if it is to be sure.

    Raises OSError.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            if surely:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def instance(name: str) -> str:
    """The name of a project or of one of its instances. Raises ValueError for anything else."""
    if instance_of_service(f"projctl-{name}.service") != (name, False):
        raise ValueError(f"not a project: {name!r}")
    return name


def text(value: object) -> str:
    """A text. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"must be a text, {value!r} is not")
    return value


def count(value: object) -> int:
    """A whole number from 0. Raises ValueError for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError(f"must be a count, {value!r} is not")
    return value


def number(value: object) -> float:
    """A finite number. Raises ValueError for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"must be a number, {value!r} is not")
    return float(value)
