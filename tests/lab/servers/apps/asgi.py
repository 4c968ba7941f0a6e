"""An ASGI application that tells its process's arguments and environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wsgi import told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def app(
    scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Answers `/` and `/env`, and that `/missing` is."""
    if scope["type"] != "http":
        return
    body = json.dumps(told()).encode() if scope["path"] == "/env" else b"here\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    status = 404 if scope["path"] == "/missing" else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
