"""The verb `projctl-agent events`: prints what happened to projects, as whoever calls it, without an agent."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from projctl_agent import moments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projctl_agent.event import Event
    from projctl_agent.history import Window


def describe(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb with its options."""
    parser = verbs.add_parser(
        "events", help="print what happened to projects", description="Prints what happened to projects."
    )
    add_window(parser)
    parser.add_argument("--project", action="append", metavar="NAME", help="of this project; may be repeated")
    parser.add_argument("--follow", action="store_true", help="go on with what happens from now on")
    parser.add_argument("--json", action="store_true", help="print each as an object of JSON")


def add_window(parser: argparse.ArgumentParser) -> None:
    """Add the options that say whose projects are meant, and which time."""
    user = "the user's own projects, not the system's"
    parser.add_argument("--user", action="store_true", default=argparse.SUPPRESS, help=user)
    parser.add_argument("--since", type=_moment, metavar="TIME", help="from then on, as journalctl takes it")
    parser.add_argument("--until", type=_moment, metavar="TIME", help="up to then")


def _moment(text: str) -> float:
    try:
        return moments.parse(text, datetime.now().astimezone())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Print events; returns the exit status. Raises OSError where the journal cannot be read."""
    from projctl_agent.history import History, Window
    from projctl_agent.journal import Journal, system_scope, user_scope

    journal = Journal(user_scope() if options.user else system_scope(), options.project or ())
    journal.require()
    history, window = History(journal), Window.of(options.since, options.until)
    try:
        _print(history.read(), window, json=options.json)
        if options.follow:
            _print(history.follow(sys.stdout.fileno()), window, json=options.json)
    except BrokenPipeError:
        # Python flushes standard output once more at exit and would complain about the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    return 0


def _print(events: Iterable[Event | None], window: Window, *, json: bool) -> None:
    """None among the events stands for a pause, before which all is to be seen."""
    for event in events:
        if event is None:
            sys.stdout.flush()
        elif event in window:
            sys.stdout.write(event.line() if json else _text(event))
    sys.stdout.flush()


def _text(event: Event) -> str:
    when = datetime.fromtimestamp(event.time).astimezone().isoformat(timespec="milliseconds")
    more = [f"{key}={value}" for key, value in event.figures.items()]
    return " ".join([when, event.instance, event.event, *filter(None, [event.reason]), *more]) + "\n"
