"""The command line: one file of verbs for each kind of work, no logic."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from projctl import __version__
from projctl.diagnostics import ProjctlError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_VERBS = {
    "apply": "projctl.cli.apply:apply",
    "agent": "projctl.cli.agent:agent",
    "check": "projctl.cli.render:check",
    "diff": "projctl.cli.apply:diff",
    "doctor": "projctl.cli.doctor:doctor",
    "down": "projctl.cli.jobs:down",
    "events": "projctl.cli.events:events",
    "hold": "projctl.cli.holds:hold",
    "info": "projctl.cli.info:info",
    "list": "projctl.cli.show:list_",
    "logs": "projctl.cli.logs:logs",
    "metrics": "projctl.cli.metrics:metrics",
    "ports": "projctl.cli.ports:ports",
    "release": "projctl.cli.holds:release",
    "reload": "projctl.cli.jobs:reload",
    "render": "projctl.cli.render:render",
    "report": "projctl.cli.report:report",
    "restart": "projctl.cli.jobs:restart",
    "schema": "projctl.cli.render:schema",
    "start": "projctl.cli.jobs:start",
    "status": "projctl.cli.show:status",
    "stop": "projctl.cli.jobs:stop",
    "top": "projctl.cli.top:top",
    "try": "projctl.cli.try_:command",
    "up": "projctl.cli.jobs:up",
    "why": "projctl.cli.holds:why",
}


class _Verbs(click.Group):
    """Imports a verb only when it is used: `--help` and completion stay quick."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # click would print an empty line for it.
            raise click.exceptions.Exit(130) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _VERBS:
            return None
        module, _, name = _VERBS[cmd_name].partition(":")
        command: click.Command = getattr(__import__(module, fromlist=[name]), name)
        return command


@click.group(
    cls=_Verbs,
    context_settings=_CONTEXT,
    epilog="""\b
Examples:
  projctl check                 look for mistakes in /etc/projctl/projects.d
  projctl apply --dry-run       show what would change
  projctl apply                 make it so
  projctl list                  what sleeps, what runs
  projctl try -f shop.yaml      the same in a throw-away systemd
""",
)
@click.version_option(__version__, prog_name="projctl")
def cli() -> None:
    """One server per project on systemd: started by its first connection, stopped when idle."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for a bad manifest or a failed action, 2 for wrong usage."""
    if arguments is None and sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        # Manifests and units are UTF-8 in any locale, and so are the paths and the output of systemd in them.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    sys.exit(_status(arguments))


def _status(arguments: Sequence[str] | None) -> int:
    try:
        result: Any = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="projctl",
            standalone_mode=False,
            # https://no-color.org: set and not empty.
            color=False if os.environ.get("NO_COLOR") else None,
        )
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ProjctlError as error:
        return _complain(error)
    except BrokenPipeError:
        return _pipe_closed()
    except (KeyboardInterrupt, click.Abort):
        return 130
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _complain(ProjctlError(f"cannot go on:{where} {(error.strerror or str(error)).lower()}"))
    return result if isinstance(result, int) else 0


def _pipe_closed() -> int:
    # Python flushes standard output once more at exit and would complain about the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _complain(error: ProjctlError) -> int:
    for problem in error.problems:
        text = str(problem)
        prefix = "" if problem.mark else "projctl: "
        click.echo(prefix + printable(text), err=True)
    return 1
