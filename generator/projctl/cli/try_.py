"""`projctl try`: the manifest applied in a throw-away systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import click

from projctl import manifest
from projctl.diagnostics import ProjctlError, raise_errors
from projctl.lab import Lab
from projctl.lab.order import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

#: Of the caller's environment, what has a meaning only with the host's systemd.
_OF_THE_HOST = (
    "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "INVOCATION_ID", "JOURNAL_STREAM", "LISTEN_FDS",
    "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "WATCHDOG_PID", "WATCHDOG_USEC",
    "XDG_RUNTIME_DIR", "XDG_SESSION_ID",
)  # fmt: skip
_AGENT_INSTALL = ("agent", "install", "--start")
_TIMEOUT = 120.0


@click.command(
    "try",
    epilog="""\b
Examples:
  projctl try -f shop.yaml                       open its ports here until Ctrl-C
  projctl try -f shop.yaml -- projctl list       run a command inside, then leave
  projctl try --network private -- bash          a shell in an empty one, own loopback

The lab shows all of this machine's files; what is written to them is lost when it ends. It takes over
none of the units that are enabled here. Needs root and the package systemd-container.""",
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="A manifest to apply; several are layers, later ones win. Default: apply nothing.",
)
@click.option(
    "--network", type=click.Choice(["host", "private"]), default="host", show_default=True,
    help="The lab's network: this machine's, or one of its own with nothing but loopback.",
)  # fmt: skip
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(files: tuple[Path, ...], network: Literal["host", "private"], command: tuple[str, ...]) -> int:
    """Boot a private, throw-away systemd, apply the manifests in it, and run COMMAND there.

    Without COMMAND it shows what listens and waits for Ctrl-C. The exit status is COMMAND's. Nothing is left
    behind, however it ends.
    """
    with _signals_end_it():
        projects = _project_directories(files)
        _say("booting the lab …")
        with Lab.boot(network=network, overlays=_below_run([*_seen(files), *projects])) as lab:
            if files:
                _say("installing the agent …")
                _projctl(lab, *_AGENT_INSTALL)
                _say("applying …")
                _projctl(lab, "apply", *(word for file in files for word in ("-f", str(file.resolve()))))
            status = _run(lab, command) if command else _wait(lab)
            if not lab.alive:
                raise lab.failure("it ended before its command did")
            return status


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that the lab is gone when projctl is."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        click.secho(text, err=True, dim=True)


def _project_directories(files: Sequence[Path]) -> list[Path]:
    if not files:
        return []
    fleet, problems = manifest.load(files, layered=True)
    raise_errors(problems)
    return [Path(project.path) for project in fleet.projects.values()]


def _seen(files: Sequence[Path]) -> list[Path]:
    """What must be visible inside: manifests, where the caller stands, Python and projctl themselves."""
    places = [Path.cwd(), Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3]]
    return [*(file.parent for file in files), *files, *places]


def _below_run(paths: Sequence[Path]) -> list[Path]:
    """Those that a lab does not show by itself: /run is its own."""
    resolved = dict.fromkeys(path.resolve() for path in paths)
    return [path for path in resolved if Path("/run") in path.parents and path.exists()]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_HOST}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', PATH)}"}


def _directory(lab: Lab) -> str:
    """The caller's own where the lab has it."""
    here = str(Path.cwd())
    return here if lab.run(["test", "-d", here], check=False).returncode == 0 else "/"


def _projctl(lab: Lab, *words: str) -> str:
    """The output of a verb of projctl in the lab; raises ProjctlError with what it complained about."""
    argv = [sys.executable, "-P", "-m", "projctl", *words]
    result = lab.run(argv, cwd=_directory(lab), env=_environment(), timeout=_TIMEOUT, check=False)
    if result.returncode:
        said = (result.stderr or result.stdout).strip().removeprefix("projctl: ")
        raise ProjctlError(said or f'"projctl {words[0]}" ended with status {result.returncode} in the lab')
    return result.stdout


def _run(lab: Lab, argv: Sequence[str]) -> int:
    """Run it on the caller's terminal; returns its exit status, 128 + n after signal n."""
    with lab.popen(argv, cwd=_directory(lab), env=_environment()) as process:
        # Ctrl-C is the command's; it reaches it by the terminal, without projctl
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            signal.signal(signal.SIGINT, before)


def _wait(lab: Lab) -> int:
    """Show what there is, until Ctrl-C or the lab's own end."""
    with contextlib.suppress(KeyboardInterrupt):
        click.echo(_projctl(lab, "list"), nl=False)
        click.echo(f"a shell in the lab: nsenter --target {lab.leader} --all")
        click.echo("Ctrl-C ends it and leaves nothing behind")
        lab.wait()
    return 0
