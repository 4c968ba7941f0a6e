"""Texts that the agent keeps, damaged at one place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def refuses(parse: Callable[[str], object], text: str, path: tuple[str, ...], value: object) -> None:
    """Assert that the text is refused once it has this value at this place."""
    data: Any = json.loads(text)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError):  # noqa: PT011  the message names the place, the kind is what counts
        parse(json.dumps(data))
