"""A WSGI application that the standard library's validator watches."""

from __future__ import annotations

from typing import Any
from wsgiref.validate import validator


def answer(environ: Any, start_response: Any) -> Any:
    """In one part, in several, by write(), with nothing, or the request's body."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["PATH_INFO"]
    if path == "/parts":
        return iter([b"hello ", b"", b"world"])
    if path == "/write":
        write(b"hello ")
        return [b"world"]
    if path == "/body":
        return [environ["wsgi.input"].read(6)]
    return [] if path == "/empty" else [b"hello world"]


app = validator(answer)
