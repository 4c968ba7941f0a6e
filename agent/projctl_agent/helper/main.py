"""The command projctl-agent-helper: started by its socket, ends when nobody asks any more."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from projctl_agent import __version__
from projctl_agent.helper import processes

_NAME = "projctl-agent-helper"


def main() -> None:
    """Serve the socket that systemd passed, or thaw; exit status 1 when it cannot begin, 2 for usage."""
    parser = argparse.ArgumentParser(
        prog=_NAME, description="Does for projctl-agent what takes privileges. Started by systemd."
    )
    parser.add_argument("--version", action="version", version=f"{_NAME} {__version__}")
    parser.add_argument(
        "--thaw", action="store_true", help="continue all frozen projects, and do nothing else"
    )
    options = parser.parse_args()
    logging.basicConfig(format=f"{_NAME}: %(message)s", level=logging.WARNING)
    processes.sweep()
    sys.exit(0 if options.thaw else _run())


def _run() -> int:
    try:
        from projctl_agent.bus import BusError
        from projctl_agent.helper import server
    except ModuleNotFoundError as error:
        return _fail(f'cannot find the Python module "{error.name}"; install projctl with its extra "agent"')

    async def work() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await server.run(stopping)

    try:
        asyncio.run(work())
    except (BusError, OSError) as error:
        return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    print(f"{_NAME}: {message}", file=sys.stderr)  # noqa: T201
    return 1
