"""The command projctl-agent: options, signals, and errors in one line."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from projctl_agent import __version__, events, requests

_NAME = "projctl-agent"
_VERBS = {"events": events, "requests": requests}


def main() -> None:
    """Run the agent until a signal ends it, or a verb; exit status 1 when it cannot begin, 2 for usage."""
    options = _parse(sys.argv[1:])
    logging.basicConfig(format=f"{_NAME}: %(message)s", level=logging.WARNING)
    try:
        sys.exit(_VERBS[options.verb].run(options) if options.verb else _run(user=options.user))
    except ModuleNotFoundError as error:
        sys.exit(
            _fail(f'cannot find the Python module "{error.name}"; install projctl with its extra "agent"')
        )
    except OSError as error:
        sys.exit(_fail(str(error)))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=_NAME,
        description="Stops projects that nobody uses and serves their metrics. Started by systemd.",
    )
    parser.add_argument("--user", action="store_true", help="watch the user's own manager, not the system's")
    parser.add_argument("--version", action="version", version=f"{_NAME} {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for verb in _VERBS.values():
        verb.describe(verbs)
    return parser.parse_args(arguments)


def _run(*, user: bool) -> int:
    import asyncio

    from projctl_agent import agent, journal, punctual
    from projctl_agent.bus import BusError
    from projctl_agent.helper import processes

    if user:  # else it is the helper that freezes, and begins with this
        processes.sweep()
    scope = journal.user_scope() if user else journal.system_scope()

    async def work() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await agent.Agent(scope, _state_directory(), user=user).run(stopping)

    try:
        with asyncio.Runner(loop_factory=punctual.loop) as runner:
            runner.run(work())
    except BusError as error:
        return _fail(str(error))
    return 0


def _state_directory() -> Path | None:
    directory = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(directory) if directory else None


def _fail(message: str) -> int:
    print(f"{_NAME}: {message}", file=sys.stderr)  # noqa: T201
    return 1
