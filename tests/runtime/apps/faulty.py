"""Applications that are not as they should be."""

from __future__ import annotations

from typing import Any

import shop

NUMBER = 7
app = shop.app


async def no_start(scope: Any, receive: Any, send: Any) -> None:
    """Says that its startup failed."""
    await receive()
    message = "Traceback (most recent call last):\n  ...\nRuntimeError: no database\n"
    await send({"type": "lifespan.startup.failed", "message": message})


async def no_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Knows requests only."""
    assert scope["type"] == "http"
    await shop.answer(scope, send)


async def slow_start(scope: Any, receive: Any, send: Any) -> None:
    """Never ends its startup."""
    await receive()
    print("starting", flush=True)
    await receive()


def either(*arguments: Any) -> Any:
    """Nobody can tell what it speaks."""
    return shop.admin(*arguments) if len(arguments) == 2 else shop.app(*arguments)


def raises(environ: Any, start_response: Any) -> Any:
    """WSGI that fails: before its response, at its first chunk, or late."""
    if environ["PATH_INFO"] == "/before":
        raise RuntimeError("before")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return chunks(environ["PATH_INFO"], start_response)


def chunks(path: str, start_response: Any) -> Any:
    """Fails as the path says; /replaced with another response in the place of the first."""
    if path == "/replaced":
        try:
            raise RuntimeError("replaced")
        except RuntimeError as error:
            start_response("503 Sorry", [("X-Why", "replaced")], (type(error), error, error.__traceback__))
        yield b"sorry"
        return
    if path == "/first":
        raise RuntimeError("first")
    yield b"begun "
    raise RuntimeError("late")
