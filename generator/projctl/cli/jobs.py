"""Verbs that start and stop servers by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from projctl import jobs
from projctl.cli import options
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable


def _verb(
    name: str, action: Callable[[Scope, tuple[str, ...]], None], text: str, example: str
) -> click.Command:
    @click.command(name, help=text, epilog=f"\b\nExample:\n  {example}")
    @options.user
    @options.remote
    @options.project(many=True)
    def verb(names: tuple[str, ...], user: bool, host: str | None, machine: str | None) -> None:
        scope = Scope(user, host, machine)
        options.require_projects(scope, *names)
        action(scope, names)

    return verb


start = _verb(
    "start", jobs.start, "Start servers now, without waiting for a connection.", "projctl start shop"
)
stop = _verb(
    "stop", jobs.stop, "Stop servers. Their sockets keep listening: the next connection starts them again.",
    "projctl stop shop blog",
)  # fmt: skip
restart = _verb(
    "restart",
    jobs.restart,
    "Restart servers. Connections that arrive meanwhile wait.",
    "projctl restart shop",
)
reload = _verb(
    "reload", jobs.reload, "Let running servers read their configuration again, by a restart where need be.",
    "projctl reload shop",
)  # fmt: skip
