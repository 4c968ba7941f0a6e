"""`projctl-serve`: ASGI and WSGI applications, each on the socket of its name."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING

from projctl_runtime.failure import RunnerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl_runtime.server import ServerConfig
    from projctl_runtime.stopping import StopPolicy

_NAMED = re.compile(r"(?:(?P<name>[A-Za-z][\w.-]*)=)?(?P<value>.+)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 after a stop, 1 when it cannot start, 2 for wrong usage."""
    options = parser().parse_args(arguments)
    try:
        _serve(options)
    except RunnerError as error:
        if options.traceback or os.environ.get("PYTHONTRACEBACK"):
            traceback.print_exception(error.__cause__ or error)
        print(f"projctl-serve: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(options: argparse.Namespace) -> None:
    try:
        from projctl_runtime import application
        from projctl_runtime.run import run_all
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "uvicorn":
            raise RunnerError("cannot find uvicorn: install projctl[serve]") from error
        raise
    application.look_in(os.path.abspath(options.app_dir))  # noqa: PTH100 - resolve() would follow links
    if run_all(_configs(options), policy=_policy(options)):
        # Requests that were given up may have left threads that hang, and the interpreter would wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def parser() -> argparse.ArgumentParser:
    """The command line; every option stands in projctl-serve(1)."""
    made = argparse.ArgumentParser(prog="projctl-serve", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("applications", nargs="+", metavar="[NAME=]MODULE:APP", help="what to serve, and on which socket")
    add(
        "--listen",
        action="append",
        default=[],
        metavar="[NAME=]ADDRESS",
        help="where to listen without systemd",
    )
    add("--interface", action="append", default=[], metavar="[NAME=]KIND", help="auto, asgi or wsgi")
    add("--lifespan", choices=["auto", "on", "off"], default="auto", help="startup and shutdown of ASGI")
    add("--threads", type=_count, default=10, metavar="N", help="concurrent calls of a WSGI application (10)")
    add("--keep-alive", type=_count, default=5, metavar="SECONDS", help="wait for a next request (5)")
    add("--drain-timeout", type=_seconds, metavar="SECONDS", help="time to finish requests in at a stop")
    add(
        "--linger",
        type=_seconds,
        default=0.5,
        metavar="SECONDS",
        help="at a stop, wait for a next request (0.5)",
    )
    add(
        "--patience",
        type=_seconds,
        default=3.0,
        metavar="SECONDS",
        help="at a stop, wait for a whole request (3)",
    )
    add("--access-log", action="store_true", help="one line for each request on standard output")
    add("--app-dir", default=".", metavar="DIR", help="where modules are looked for first")
    add("--traceback", action="store_true", help="show where an application failed to start")
    add("--version", action=_ShowVersion, nargs=0, default=argparse.SUPPRESS, help="show the version")
    return made


class _ShowVersion(argparse.Action):
    """Looks the version up only when asked: each start would pay for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        try:
            version = metadata.version("projctl")
        except metadata.PackageNotFoundError:
            version = "of a checkout"
        print(f"projctl-serve {version}")  # noqa: T201
        parser.exit()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be a whole number above zero, not "{text}"')
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise argparse.ArgumentTypeError(f'must be a number of seconds, not "{text}"')
    return float(text)


def _policy(options: argparse.Namespace) -> StopPolicy:
    from projctl_runtime.stopping import StopPolicy

    more = {} if options.drain_timeout is None else {"drain_timeout": options.drain_timeout}
    return StopPolicy(linger=options.linger, patience=options.patience, **more)


def _configs(options: argparse.Namespace) -> list[ServerConfig]:
    from projctl_runtime.server import ServerConfig

    applications = _named(options.applications)
    names = [name or "http" for name, _ in applications]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise RunnerError(
            f'cannot serve two applications as "{doubled[0]}": name each, as in NAME=MODULE:APP'
        )
    listen = _by_name(options.listen, names, "--listen")
    interfaces = _by_name(options.interface, names, "--interface", everywhere=True)
    if bad := sorted(set(interfaces.values()) - {"auto", "asgi", "wsgi"}):
        raise RunnerError(f'unknown interface "{bad[0]}", must be one of: asgi, auto, wsgi')
    if port := os.environ.get("PORT"):
        listen.setdefault(names[0], port)
    return [
        ServerConfig(
            app=value,
            name=name or "http",
            listen=listen.get(name or "http"),
            interface=interfaces.get(name or "http", "auto"),  # type: ignore[arg-type]
            lifespan=options.lifespan,
            threads=options.threads,
            keep_alive=options.keep_alive,
            access_log=options.access_log,
        )
        for name, value in applications
    ]


def _named(words: Sequence[str]) -> list[tuple[str | None, str]]:
    """NAME=VALUE and VALUE."""
    found = [_NAMED.fullmatch(word) for word in words]
    return [(match["name"], match["value"]) for match in found if match]


def _by_name(
    words: Sequence[str], names: Sequence[str], option: str, everywhere: bool = False
) -> dict[str, str]:
    """An option's values by application; a bare value is for the only one, or with `everywhere` for all."""
    values: dict[str, str] = {}
    for name, value in _named(words):
        if name is None and len(names) > 1 and not everywhere:
            raise RunnerError(f"must say for which application {option} {value} is, as in {names[0]}={value}")
        if name is not None and name not in names:
            raise RunnerError(f'unknown application "{name}" in {option}, must be one of: {", ".join(names)}')
        values |= {name: value} if name else dict.fromkeys(names, value)
    return values
