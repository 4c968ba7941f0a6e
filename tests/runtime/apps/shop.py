"""Applications for the runner's tests: `app` speaks ASGI, `admin` WSGI."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI, with a lifespan that tells standard output of each step."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        await answer(scope, send)


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Starts and ends; leaves a greeting for its requests."""
    scope["state"]["greeting"] = "hello"
    for step in ("startup", "shutdown"):
        await receive()
        print(f"lifespan {step}", flush=True)
        await send({"type": f"lifespan.{step}.complete"})


async def echo(receive: Any, send: Any) -> None:
    """A WebSocket that sends back what it gets."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    print(f"websocket closed {message['code']}", flush=True)


async def answer(scope: Any, send: Any) -> None:
    """By path: /slow?SECONDS waits, /hang?SECONDS blocks the loop, /stream sends in parts; bodies stay unread."""
    seconds = float(scope["query_string"] or b"0")
    if scope["path"] == "/slow":
        print("slow begun", flush=True)
        await asyncio.sleep(seconds)
    elif scope["path"] == "/hang":
        print("hang begun", flush=True)
        time.sleep(seconds)
    elif scope["path"] == "/fail":
        raise RuntimeError("asked to fail")
    text = f"{scope['state'].get('greeting')} from {os.getpid()}\n".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/stream":
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"part\n", "more_body": True})
            await asyncio.sleep(seconds / 10)
    await send({"type": "http.response.body", "body": text})


def admin(environ: Any, start_response: Any) -> Any:
    """WSGI: /slow?SECONDS waits, /echo sends the body back, / tells what it was told."""
    if environ["PATH_INFO"] == "/slow":
        print("slow begun", flush=True)
        time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/echo":
        return [environ["wsgi.input"].read()]
    if environ["PATH_INFO"] == "/lines":
        return (line for line in environ["wsgi.input"])
    return [f"admin {os.getpid()} {environ['PATH_INFO']}\n".encode("latin-1")]


def make_app() -> Any:
    """A factory."""
    return app
