"""Holds every connection on $PORT open and sends each byte back."""

from __future__ import annotations

import asyncio
import os
import resource


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


async def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    server = await asyncio.start_server(echo, os.environ["HOST"], int(os.environ["PORT"]), backlog=4096)
    await server.serve_forever()


asyncio.run(main())
