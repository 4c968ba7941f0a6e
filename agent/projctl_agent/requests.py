"""The verb `projctl-agent requests`: what requests took, out of the projects' own access logs, without an agent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from projctl_agent.events import add_window
from projctl_agent.names import project_and_number
from projctl_agent.settings import interpret, parse_section, read_texts

if TYPE_CHECKING:
    import argparse

    from projctl_agent.settings import Settings
#: How many projects are named whose log cannot be read.
_NAMED = 10


def describe(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb with its options."""
    parser = verbs.add_parser(
        "requests", help="print what requests took", description="Prints what requests of projects took."
    )
    add_window(parser)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="the .service file of a project")


def run(options: argparse.Namespace) -> int:
    """Print a line of JSON for each project that has an access log; returns the exit status. Raises OSError."""
    from projctl_agent.access import window
    from projctl_agent.access.journal import Pass
    from projctl_agent.journal import Journal, system_scope, user_scope

    scope = user_scope() if options.user else system_scope()
    Journal(scope).require()
    reading, unread = Pass(scope), []
    try:
        for settings in filter(None, map(_settings, options.files)):
            if settings.access_log:
                texts = reading.newest(settings.primary, options.since, options.until, window.MOST)
                try:
                    _print(settings, window.summarise(settings, texts))
                except ValueError as error:
                    unread.append(f"{settings.instance} ({error})")
    finally:
        reading.close()
    if unread:
        more = ", …" if len(unread) > _NAMED else ""
        told = f"cannot read the access logs of {', '.join(unread[:_NAMED])}{more}"
        print(f"projctl-agent: {told}", file=sys.stderr)  # noqa: T201
    return 0


def _settings(path: Path) -> Settings | None:
    """What the unit file says, drop-ins beside it included."""
    drop_ins = sorted(path.with_name(f"{path.name}.d").glob("*.conf"))
    try:
        return interpret(path.name, parse_section(read_texts(map(str, (path, *drop_ins)))))
    except ValueError:
        return None


def _print(settings: Settings, found: dict[str, object]) -> None:
    project, number = project_and_number(settings.instance)
    about = {"project": project, "instance": None if number is None else int(number)}
    sys.stdout.write(json.dumps(about | found, separators=(",", ":")) + "\n")
