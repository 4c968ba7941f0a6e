"""Where the report's facts come from: the agent's reading of the journal, systemd, the units, the port registry."""

from __future__ import annotations

import os
import platform
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from projctl import agentprogram, claims, dossier, installed, inventory, status, systemctl, unitfile
from projctl.diagnostics import Problem, ProjctlError
from projctl.names import backend_unit, instance_of, service_unit
from projctl.report import document, events, requests
from projctl.report.servers import Facts, Live, Settings
from projctl.report.spans import Span

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import tzinfo

    from projctl.installed import Installed
    from projctl.portlist import RangeUse
    from projctl.registry import Registry
    from projctl.report.document import Report
    from projctl.report.events import Event
    from projctl.report.requests import Requests
    from projctl.scope import Scope
#: Seconds after its end in which a window still ends now.
_NOW = 60.0


def collect(scope: Scope, since: str, until: str) -> tuple[Report, list[Problem]]:
    """The report of a window, in times as systemd.time(7) has them; and what kept it from being whole."""
    window = _window(since, until)
    there = installed.read(scope)
    generated = {} if scope.user else installed.generated(scope)
    texts = {**generated, **there.files}
    servers = {server for unit in texts if (server := instance_of(unit)) and unit == service_unit(server)}
    ranges, problems = _ranges(scope)
    facts = Facts(
        window=window,
        installed={server: _settings(texts, server, user=scope.user) for server in servers},
        since=_since(claims.read_registry(scope, there)[0], servers),
        live=_live(scope, window),
        requests=_requests(scope, window, [_place(scope, there, server) for server in sorted(servers)]),
        ranges=ranges,
        complete=systemctl.journal_reaches_beyond(window.begin),
        zone=_zone(),
        host=platform.node(),
    )
    return document.build(_events(scope, window), facts), problems


def _zone() -> tzinfo:
    """Where the reader is, with its changes of the clock."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, KeyError):
        return datetime.now().astimezone().tzinfo or Facts.zone


def _window(since: str, until: str) -> Span:
    begin, end = systemctl.moment(since), min(systemctl.moment(until), time.time())
    if begin >= end:
        raise ProjctlError("--since must be before --until and before now")
    return Span(begin, end)


def _events(scope: Scope, window: Span) -> Iterator[Event]:
    """To the end of the journal: what ended after the window may have run all through it."""
    return events.parse(agentprogram.ask(scope, "events", "--json", f"--since=@{window.begin:.6f}"))


def _requests(scope: Scope, window: Span, files: Sequence[Path]) -> dict[str, Requests]:
    times = (f"--since=@{window.begin:.6f}", f"--until=@{window.end:.6f}")
    return (
        requests.parse(agentprogram.ask(scope, "requests", *times, "--", *map(str, files))) if files else {}
    )


def _place(scope: Scope, there: Installed, server: str) -> Path:
    unit = service_unit(server)
    return (scope.units if unit in there.files else scope.generator_units) / unit


def _settings(texts: Mapping[str, str], server: str, *, user: bool) -> Settings:
    """What the units of a server say; behind a proxy the limits are the backend's."""
    own = texts[service_unit(server)]
    idle = dossier.describe(own, user_mode=user)["idle"]
    limits = dossier.describe(texts.get(backend_unit(server), own), user_mode=user)["limits"]
    never = "always" in unitfile.values(unitfile.parse(own), "X-Projctl", "Warm")
    return Settings(None if never else idle["stop"], idle["min_uptime"], limits.get("MemoryMax"))


def _since(known: Registry, servers: Collection[str]) -> dict[str, float]:
    """Since when each server has a port."""
    of_project: dict[str, list[str]] = {}
    for server in servers:
        of_project.setdefault(server.partition("@")[0], []).append(server)
    found: dict[str, float] = {}
    for (project, socket), entry in known.entries.items():
        number = socket.partition("@")[2]
        given = datetime.fromisoformat(entry.since).timestamp()
        # A socket without a number is shared by all instances.
        for server in [f"{project}@{number}"] if number else of_project.get(project, []):
            found[server] = min(given, found.get(server, given))
    return found


def _live(scope: Scope, window: Span) -> dict[str, Live]:
    """The servers that run now; for how long they are idle matters only where the window ends now."""
    now = time.time()
    is_now = now - window.end < _NOW
    return {
        project.name: Live(
            now - project.uptime_seconds, project.memory_bytes, project.idle_seconds if is_now else None
        )
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
