"""What a fleet gets wrong that no single value shows: adapters, reserved variables, modes; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projctl import adapters, wrappers
from projctl.diagnostics import Problem

if TYPE_CHECKING:
    from projctl.model import Fleet, Project

_OURS = re.compile(
    r"PORT|LISTEN_(FDS|PID|FDNAMES)|PM2_INSTANCE_ID|NODE_APP_INSTANCE|NOTIFY_SOCKET|MAINPID|INVOCATION_ID|JOURNAL_STREAM|PROJCTL_.*"
)


def problems(fleet: Fleet, *, user_mode: bool) -> list[Problem]:
    """Every problem of every project, with its place."""
    found: list[Problem] = []
    for project in fleet.projects.values():
        found += _server(fleet, project) + wrappers.problems(fleet, project) + _environment(fleet, project)
        found += _sockets(fleet, project) + _idle(fleet, project) + _health(fleet, project)
        found += _mode(fleet, project, user_mode=user_mode)
    return found


def _at(fleet: Fleet, message: str, *path: str, hint: str | None = None) -> Problem:
    return Problem(message, fleet.mark(*path), "$.projects." + ".".join(path), hint)


def _server(fleet: Fleet, project: Project) -> list[Problem]:
    known = adapters.every()
    if project.server is not None and project.server not in known:
        message = f'unknown server "{project.server}", must be one of: {", ".join(known)}'
        return [_at(fleet, message, project.name, "server")]
    found = adapters.choose(project).problems(project.run.words, len(project.listen))
    return [_at(fleet, message, project.name, "run", hint=hint) for message, hint in found]


def _sockets(fleet: Fleet, project: Project) -> list[Problem]:
    found = []
    for name, listen in project.listen.items():
        place = (project.name, "listen", name)
        size = sum(last - first + 1 for first, last in listen.ranges)
        if listen.each and size < project.instances:
            ranges = ", ".join(f"{first}-{last}" for first, last in listen.ranges)
            message = f"range {ranges} has {size} ports, but {project.instances} instances are asked for"
            found.append(_at(fleet, message, *place, hint="widen the range, or ask for fewer instances"))
        if listen.path and project.instances > 1:
            hint = 'write "unix": each instance then has a path of its own'
            found.append(_at(fleet, "cannot be shared by several instances", *place, hint=hint))
    for key, what in (("wakes", "wake the project"), ("counts_as_activity", "count as activity")):
        if not any(getattr(listen, key) for listen in project.listen.values()):
            found.append(_at(fleet, f"must have at least one socket that may {what}", project.name, "listen"))
    return found


def _idle(fleet: Fleet, project: Project) -> list[Problem]:
    freeze, stop = project.idle.freeze, project.idle.stop
    if freeze is None or stop is None or freeze < stop:
        return []
    hint = "what is frozen is stopped later, or never"
    return [_at(fleet, "must be shorter than idle.stop", project.name, "idle", "freeze", hint=hint)]


def _health(fleet: Fleet, project: Project) -> list[Problem]:
    if project.health is None or project.health.words or adapters.choose_or_none(project) is None:
        return []
    first = next(iter(project.listen.values()))
    proxied = adapters.choose(project).proxied
    if project.instances > 1 and first.kind == "tcp" and not first.each and not proxied:
        hint = 'give each instance a port: "listen: 5001-5004", or check by a command'
        return [
            _at(
                fleet,
                "cannot ask one of several instances behind one port",
                project.name,
                "health",
                hint=hint,
            )
        ]
    if first.device and not proxied:
        message = f"cannot reach a socket that only takes what arrives on {first.device}"
        return [_at(fleet, message, project.name, "health", hint="check by a command")]
    if project.network == "private" and not proxied:
        hint = "check by a command"
        return [
            _at(fleet, "cannot reach the socket from a private network", project.name, "health", hint=hint)
        ]
    return []


def _environment(fleet: Fleet, project: Project) -> list[Problem]:
    port_names = {f"PORT_{socket.upper().replace('-', '_')}" for socket in project.listen}
    return [
        _at(fleet, f"cannot set {name}: it is set for each start", project.name, "env", name)
        for name in project.env
        if _OURS.fullmatch(name) or name in port_names
    ]


def _mode(fleet: Fleet, project: Project, *, user_mode: bool) -> list[Problem]:
    if not user_mode:
        return []
    found = []
    if project.user == "dynamic":
        found.append(
            _at(fleet, 'cannot use "dynamic" in user mode', project.name, "user", hint="leave it out")
        )
    for name, listen in project.listen.items():
        if listen.device or listen.owner:
            found.append(
                _at(
                    fleet,
                    "cannot be bound to an interface or given away in user mode",
                    project.name,
                    "listen",
                    name,
                )
            )
    if project.network == "private":
        found.append(_at(fleet, "cannot make a private network in user mode", project.name, "network"))
    if project.sandbox == "strict":
        message = "a user manager cannot hide files: strict covers system calls and privileges only"
        mark = fleet.mark(project.name, "sandbox")
        found.append(Problem(message, mark, f"$.projects.{project.name}.sandbox", severity="warning"))
    return found


def advice(fleet: Fleet, *, user_mode: bool) -> list[Problem]:
    """What is allowed, but should be a decision: servers that run as root."""
    return [
        Problem(
            "runs as root",
            fleet.mark(project.name),
            f"$.projects.{project.name}",
            'give it a user of its own with "user: NAME", or "user: dynamic"',
            severity="warning",
        )
        for project in fleet.projects.values()
        if not user_mode and project.user in (None, "root")
    ]
