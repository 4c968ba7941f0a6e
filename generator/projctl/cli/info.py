"""The verb that tells everything about one project: info."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from projctl import dossier, listing
from projctl.cli import options
from projctl.cli.show import coloured
from projctl.diagnostics import ProjctlError, one_line
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.dossier import Dossier


@click.command(epilog="\b\nExamples:\n  projctl info shop\n  projctl info shop@1 --json")
@options.user
@options.as_json
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True, help="How many lines."
)
@options.project()
def info(name: str, user: bool, json_: bool, lines: int) -> None:
    """Show everything about one project: state, sockets, units, manifest, limits, last lines of its log."""
    scope = Scope(user)
    options.require_projects(scope, name)
    found = dossier.collect(scope, name, options.units_installed(scope, name), lines)
    if not found:
        raise ProjctlError(f'cannot find the project "{name}" there')
    if json_:
        options.echo_json([one.as_json() for one in found])
        return
    for number, one in enumerate(found):
        click.echo("\n" * bool(number), nl=False)
        _print(one)


def _print(one: Dossier) -> None:
    status = one.status
    reason = f" ({status.reason})" if status.reason else ""
    click.echo(f"{click.style(status.name, bold=True)}: {coloured(status.state, status.state)}{reason}")
    for label, value in _facts(one):
        if value and value != "-":
            click.echo(f"  {label:<12} {one_line(value)}")
    if one.lines:
        click.echo("  log")
        for line in one.lines:
            click.echo(f"    {one_line(line)}")


def _facts(one: Dossier) -> Iterator[tuple[str, str]]:
    status, settings = one.status, one.settings
    for socket in status.sockets:
        yield "listens on", f"{socket.address} ({socket.name}{', override' * status.override})"
    yield "pid", listing.known(status.pid)
    yield "memory", listing.size(status.memory_bytes)
    yield "cpu", "-" if status.cpu_seconds is None else f"{status.cpu_seconds:.3f} s"
    yield "uptime", listing.span(status.uptime_seconds)
    yield "idle", listing.span(status.idle_seconds)
    yield "starts", listing.known(status.starts)
    yield "last stop", one.last_stop or "-"
    for key in ("manifest", "adapter", "user", "path"):
        yield key, settings.get(key) or "-"
    yield "limits", ", ".join(f"{key}={value}" for key, value in settings.get("limits", {}).items()) or "none"
    yield "idle policy", _policy(settings.get("idle", {}))
    yield "environment", ", ".join(settings.get("environment", ()))
    yield "env_file", ", ".join(settings.get("env_files", ()))
    for unit in one.units:
        yield "unit", f"{unit.name}: {unit.state}"
        yield "", unit.path or ""
        for path in unit.drop_ins:
            yield "", f"{path} (drop-in)"


def _policy(idle: dict[str, float | None]) -> str:
    stop, uptime, silent = idle.get("stop"), idle.get("min_uptime"), idle.get("hold_connections")
    freeze = f"freezes after {listing.span(idle['freeze'])} without use, " if idle.get("freeze") else ""
    if stop is None:
        return f"{freeze}never stops"
    text = f"{freeze}stops after {listing.span(stop)} without use"
    text += f", runs {listing.span(uptime)} at the least" if uptime else ""
    busy = idle.get("busy_cpu")
    text += f"; {busy:g} % of a CPU is use" if busy else ""
    return text + (f"; a silent connection no more after {listing.span(silent)}" if silent else "")
