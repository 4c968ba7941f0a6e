"""Options that several verbs share, and the scope they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from projctl import OLDEST_SYSTEMD
from projctl.diagnostics import ProjctlError
from projctl.names import instance_of, project_of
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Decorated = Any


def user(function: Decorated) -> Decorated:
    """`--user`: the caller's own manager."""
    return click.option("--user", is_flag=True, help="Talk to your own systemd (no root needed).")(function)


def remote(function: Decorated) -> Decorated:
    """`--host` and `--machine`, for verbs that only talk to systemd."""
    function = click.option(
        "-H", "--host", metavar="[USER@]HOST", help="Talk to the systemd of another host."
    )(function)
    return click.option("-M", "--machine", metavar="NAME", help="Talk to the systemd of a local container.")(
        function
    )


def manifests(function: Decorated) -> Decorated:
    """`-f`: manifests by name."""
    return click.option(
        "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path, readable=False), metavar="MANIFEST",
        help="A manifest; several are layers, later ones win. Default: all in projects.d.",
    )(function)  # fmt: skip


def version(function: Decorated) -> Decorated:
    """`--systemd-version`: render for another systemd."""
    return click.option(
        "--systemd-version", type=click.IntRange(min=OLDEST_SYSTEMD), metavar="N",
        help="Render for this version of systemd. Default: the installed one.",
    )(function)  # fmt: skip


def no_preflight(function: Decorated) -> Decorated:
    """`--no-preflight`: install without trying."""
    return click.option(
        "--no-preflight", is_flag=True, help="Do not start new and changed projects for a trial."
    )(function)


def as_json(function: Decorated) -> Decorated:
    """`--json`: for programs."""
    return click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")(function)


def echo_json(shown: Sequence[object]) -> None:
    """Print what was found for `--json`: one object, or a list of the instances where there are several."""
    import json

    click.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=2))


def complete_project(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of installed projects, for shell completion."""
    del parameter
    names = names_installed(Scope(user=bool(context.params.get("user"))))
    return sorted(name for name in names if name.startswith(incomplete))


def names_installed(scope: Scope) -> set[str]:
    """The projects that have units of ours."""
    from projctl import installed  # much that a verb about one project can do without

    return {name for unit in installed.read(scope).files if (name := project_of(unit))}


def units_installed(scope: Scope, name: str) -> list[str]:
    """The units of a project (all instances), or of one instance `NAME@N`."""
    from projctl import installed

    files = installed.read(scope).files
    return [unit for unit in files if name in (project_of(unit), instance_of(unit))]


def window(function: Decorated) -> Decorated:
    """`--since` and `--until`: a time of the journal."""
    function = click.option("--until", metavar="TIME", help="Up to then.")(function)
    return click.option(
        "--since",
        metavar="TIME",
        help='From then on, as journalctl takes it: "-1h", "today", "2026-01-31 12:00".',
    )(function)


def project(*, many: bool = False, optional: bool = False) -> Callable[[Decorated], Decorated]:
    """The NAME argument."""
    return click.argument(
        "names" if many else "name", nargs=-1 if many else 1, required=not optional,
        metavar=f"[NAME]{'...' if many else ''}" if optional else f"NAME{'...' if many else ''}",
        shell_complete=complete_project,
    )  # fmt: skip


def require_projects(scope: Scope, *names: str) -> None:
    """Raise one problem for every name that is no installed project; remote machines are not looked at."""
    from projctl import systemctl

    systemctl.require(scope)
    if scope.remote:
        return
    known = names_installed(scope)
    if unknown := [name for name in names if name not in known and not units_installed(scope, name)]:
        there = (
            f"installed are: {', '.join(sorted(known))}" if known else "none is installed yet: projctl apply"
        )
        raise ProjctlError(*(f'cannot find the project "{name}"' for name in unknown), hint=there)
