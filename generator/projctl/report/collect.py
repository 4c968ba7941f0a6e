"""Where the report's facts come from: the agent's reading of the journal, systemd, the units, the port registry."""

from __future__ import annotations

import platform
import time
from datetime import datetime
from typing import TYPE_CHECKING

from projctl import agentunits, claims, dossier, installed, inventory, status, systemctl
from projctl.diagnostics import Problem, ProjctlError
from projctl.names import instance_of, service_unit
from projctl.report import document, events, requests
from projctl.report.servers import Facts, Live, Settings
from projctl.report.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.installed import Installed
    from projctl.portlist import RangeUse
    from projctl.report.document import Report
    from projctl.report.events import Event
    from projctl.report.requests import Requests
    from projctl.scope import Scope


def collect(scope: Scope, since: str, until: str) -> tuple[Report, list[Problem]]:
    """The report of a window, in times as systemd.time(7) has them; and what kept it from being whole."""
    window = _window(since, until)
    there = installed.read(scope)
    ranges, problems = _ranges(scope)
    facts = Facts(
        window=window,
        installed=_settings(there, user=scope.user),
        since=_since(scope, there),
        live=_live(scope),
        requests=_requests(scope, there, window),
        ranges=ranges,
        complete=systemctl.journal_reaches_beyond(window.begin),
        zone=datetime.now().astimezone().tzinfo or Facts.zone,
        host=platform.node(),
    )
    return document.build(_events(scope, window), facts), problems


def _window(since: str, until: str) -> Span:
    begin, end = systemctl.moment(since), min(systemctl.moment(until), time.time())
    if begin >= end:
        raise ProjctlError("--since must be before --until and before now")
    return Span(begin, end)


def _ask(scope: Scope, verb: str, *words: str) -> Iterator[str]:
    """What the agent's program prints, as the caller: it needs no agent that runs."""
    flags = ["--user"] if scope.user else []
    return systemctl.output([str(agentunits.executable()), verb, *flags, *words])


def _events(scope: Scope, window: Span) -> Iterator[Event]:
    """To the end of the journal: what ended after the window may have run all through it."""
    return events.parse(_ask(scope, "events", "--json", f"--since=@{window.begin:.6f}"))


def _requests(scope: Scope, there: Installed, window: Span) -> dict[str, Requests]:
    units = (unit for unit in there.files if unit.endswith(".service"))
    files = [str(scope.units / unit) for unit in units if unit == service_unit(instance_of(unit) or "")]
    times = (f"--since=@{window.begin:.6f}", f"--until=@{window.end:.6f}")
    return requests.parse(_ask(scope, "requests", *times, "--", *files)) if files else {}


def _settings(there: Installed, *, user: bool) -> dict[str, Settings]:
    """By server, as its own units say."""
    found: dict[str, Settings] = {}
    for unit, text in there.files.items():
        server = instance_of(unit)
        if server and unit == service_unit(server):
            told = dossier.describe(text, user_mode=user)
            idle, limits = told["idle"], told["limits"]
            found[server] = Settings(idle["stop"], idle["min_uptime"], limits.get("MemoryMax"))
    return found


def _since(scope: Scope, there: Installed) -> dict[str, float]:
    """Since when each server has a port."""
    known, _ = claims.read_registry(scope, there)
    servers: dict[str, set[str]] = {}
    for unit in there.files:
        if server := instance_of(unit):
            servers.setdefault(server.partition("@")[0], set()).add(server)
    found: dict[str, float] = {}
    for (project, socket), entry in known.entries.items():
        number = socket.partition("@")[2]
        given = datetime.fromisoformat(entry.since).timestamp()
        # A socket without a number is shared by all instances.
        for server in {f"{project}@{number}"} if number else servers.get(project, set()):
            found[server] = min(given, found.get(server, given))
    return found


def _live(scope: Scope) -> dict[str, Live]:
    """The servers that run now."""
    now = time.time()
    return {
        project.name: Live(now - project.uptime_seconds, project.memory_bytes)
        for project in status.collect(scope)
        if project.uptime_seconds is not None
    }


def _ranges(scope: Scope) -> tuple[tuple[RangeUse, ...] | None, list[Problem]]:
    try:
        found = inventory.collect((), scope)
    except ProjctlError as error:
        return None, [
            Problem(f"cannot tell how full the ports are: {error.problems[0].message}", severity="warning")
        ]
    return found.ranges, list(found.warnings)
