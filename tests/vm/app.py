"""What the projects in the machine serve; `/eat` uses more memory than they may have, `/keep` keeps some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


KEPT = bytearray()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request with the path, or with how much is kept."""
    path = environ["PATH_INFO"]
    if path == "/eat":
        eaten = bytearray(256 << 20)
        eaten[::4096] = b"x" * (len(eaten) // 4096)
    if path == "/keep":
        KEPT.extend(b"x" * (32 << 20))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(str(len(KEPT)) if path == "/kept" else path).encode()]
