"""Verbs that start and stop servers by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from projctl import apply, closing, jobs, moving, override
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


def _maintenance(
    name: str, action: Callable[[Scope, tuple[str, ...]], None], text: str, example: str
) -> click.Command:
    """A verb that leaves a mark, and so works on this machine only."""

    @click.command(name, help=text, epilog=f"\b\nExample:\n  {example}")
    @options.user
    @options.project(many=True)
    def verb(names: tuple[str, ...], user: bool) -> None:
        scope = Scope(user)
        options.require_projects(scope, *names)
        action(scope, names)

    return verb


down = _maintenance(
    "down", closing.down, "Close the sockets of projects and stop them, until `up` or a reboot.", "projctl down shop"
)  # fmt: skip
up = _maintenance("up", closing.up, "Open the sockets of projects that are down.", "projctl up shop")


def _moving(
    name: str, action: Callable[[Scope, tuple[str, ...]], None], text: str, example: str
) -> click.Command:
    """A verb that can also move servers to other ports; only `restart` wakes what sleeps."""

    @click.command(name, help=text, epilog=f"\b\nExamples:\n  projctl {name} shop\n  {example}")
    @options.user
    @options.remote
    @click.option(
        "--port", "ports", multiple=True, metavar="[SOCKET=]PORT[-PORT]",
        help="Listen there until --no-override or the next boot; the manifest is not changed.",
    )  # fmt: skip
    @click.option("--no-override", is_flag=True, help="Listen where the manifest says again.")
    @options.project(many=True)
    def verb(
        names: tuple[str, ...], user: bool, host: str | None, machine: str | None,
        ports: tuple[str, ...], no_override: bool,
    ) -> None:  # fmt: skip
        scope = Scope(user, host, machine)
        if ports and no_override:
            raise click.UsageError("--port and --no-override exclude each other")
        if (ports or no_override) and (len(names) > 1 or scope.remote):
            raise click.UsageError("ports can be changed for one project of this machine at a time")
        options.require_projects(scope, *names)
        if ports:
            with apply.locked(scope):
                moving.begin(
                    scope, names[0], [override.parse(port) for port in ports], wake=name == "restart"
                )
        elif no_override:
            with apply.locked(scope):
                moving.end(scope, names[0], wake=name == "restart")
        else:
            action(scope, names)

    return verb


restart = _moving(
    "restart", jobs.restart, "Restart servers. Connections that arrive meanwhile wait.",
    "projctl restart shop --port 3001",
)  # fmt: skip
reload = _moving(
    "reload", jobs.reload, "Let running servers read their configuration again, by a restart where need be.",
    "projctl reload shop --port 4000-4003",
)  # fmt: skip
