"""The agent with something in the way: `altered_agent.py ALTERATION`, in place of its command.

`dies` ends by SIGKILL right before its first order to stop a unit. `late PORT` has somebody ask for something that
takes a second right before its first order to freeze a unit, and says when that was answered.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from projctl_agent.bus import Bus
from projctl_agent.main import main
from projctl_agent.orders import Orders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def first(call: Callable[..., Awaitable[Any]], act: Callable[[], None]) -> Callable[..., Awaitable[Any]]:
    """The same call, with something before its first time; the next agent goes on with the second."""
    done = Path(os.environ["STATE_DIRECTORY"]) / "altered"

    async def altered(*arguments: Any, **options: Any) -> Any:
        if not done.exists():
            done.touch()
            act()
        return await call(*arguments, **options)

    return altered


def ask(port: int) -> None:
    """Return when the server works for it: it has read everything, and begun to answer."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /hold?seconds=1 HTTP/1.0\r\n\r\n")
    assert client.recv(4096)

    def wait() -> None:
        while client.recv(4096):
            pass
        print("answered", flush=True)

    threading.Thread(target=wait, daemon=True).start()


alteration, *port = sys.argv[1:]
del sys.argv[1:]
if alteration == "dies":
    Bus.stop_unit = first(Bus.stop_unit, lambda: os.kill(os.getpid(), signal.SIGKILL))  # type: ignore[method-assign]
else:
    Orders.freeze = first(Orders.freeze, lambda: ask(int(port[0])))  # type: ignore[method-assign]
main()
