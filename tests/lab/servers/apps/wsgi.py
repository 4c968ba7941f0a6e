"""A WSGI application that tells its process's arguments and environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def told() -> dict[str, Any]:
    """As `/env` answers."""
    words = _words("self")
    if "--multiprocessing-fork" in words:  # a worker that was not forked: its server's are meant
        words = _words(os.getppid())
    return {"env": dict(os.environ), "argv": words}


def _words(process: int | str) -> list[str]:
    line = Path(f"/proc/{process}/cmdline").read_bytes()
    return [os.fsdecode(word) for word in line.split(b"\0")[:-1]]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answers `/` and `/env`, and that `/missing` is."""
    body = json.dumps(told()).encode() if environ["PATH_INFO"] == "/env" else b"here\n"
    status = "404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
