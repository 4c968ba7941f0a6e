"""What the projects in the machine serve; `/eat` uses more memory than they may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request with the path."""
    if environ["PATH_INFO"] == "/eat":
        eaten = bytearray(256 << 20)
        eaten[::4096] = b"x" * (len(eaten) // 4096)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]
