"""A clock on ASGI: `/` tells the time, `/stream` tells it each second for as long as somebody listens."""

import asyncio
import time

HEADERS = [(b"content-type", b"text/plain; charset=utf-8")]


async def app(scope, _receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    while scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": f"{time.ctime()}\n".encode(), "more_body": True})
        await asyncio.sleep(1)
    await send({"type": "http.response.body", "body": f"{time.ctime()}\n".encode()})
