"""Moves servers to other ports and back, one after the other, and puts them back when a step fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import announce, apply, claims, installed, jobs, override, systemctl
from projctl.diagnostics import Problem, ProjctlError
from projctl.names import backend_unit, closing_order, service_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.override import Move
    from projctl.scope import Scope


def begin(scope: Scope, project: str, wanted: Sequence[tuple[str | None, int, int]], *, wake: bool) -> None:
    """Run the project on other ports until it is restarted with `--no-override`, or until the next boot."""
    found = override.moves(installed.read(scope).files, project, wanted)
    problems = [
        Problem(f"port {port} is taken by {who}")
        for move in found
        for host, port in move.ports
        if (who := claims.holder(scope, project, host, port))
    ]
    if problems:
        raise ProjctlError(*problems)
    _carry_out(scope, found, wake=wake)


def end(scope: Scope, project: str, *, wake: bool) -> None:
    """Run the project on its own ports again."""
    found = override.endings(installed.read(scope).files, project)
    if not any((scope.runtime_units / path).exists() for move in found for path in override.paths(move)):
        raise ProjctlError(f"{project} has no override", hint="projctl list shows which projects have one")
    _carry_out(scope, found, wake=wake)


def _carry_out(scope: Scope, found: Sequence[Move], *, wake: bool) -> None:
    """Close, change and open one server at a time: a reload would drop the port of one that is still open."""
    jobs.up_only(scope, [move.server for move in found])
    states = systemctl.units(scope, "projctl-*")
    done: list[tuple[Move, Mapping[str, str], bool]] = []
    for move in found:
        runs = states.get(service_unit(move.server), ("", ""))[0] in ("active", "activating", "reloading")
        done.append((move, apply.read_drop_ins(scope, override.paths(move)), runs))
        try:
            _swap(scope, move, move.drop_ins, wake=wake or runs)
        except ProjctlError as error:
            raise ProjctlError(*error.problems, *_back(scope, done)) from None


def _back(scope: Scope, done: Sequence[tuple[Move, Mapping[str, str], bool]]) -> list[Problem]:
    """Put every server that was touched back on the ports it had; what could not be said or done."""
    problems = []
    for move, before, ran in reversed(done):
        try:
            _swap(scope, move, before, wake=False)
            if ran:
                systemctl.start(scope, [service_unit(move.server)])
        except ProjctlError as error:
            problems += [
                Problem(f"cannot put {move.server} back: {found.message}") for found in error.problems
            ]
    return [*problems, Problem("all sockets are back on the ports they had")]


def _swap(scope: Scope, move: Move, drop_ins: Mapping[str, str], *, wake: bool) -> None:
    # Stopping the sockets stops the service first, which finishes what it has accepted.
    loaded = systemctl.units(scope, "projctl-*")
    announce.tell(scope, "override", [move.server])
    there = [unit for unit in (*move.sockets, backend_unit(move.server)) if unit in loaded]
    systemctl.close(scope, closing_order(there))
    apply.place_drop_ins(scope, {path: drop_ins.get(path) for path in override.paths(move)})
    systemctl.daemon_reload(scope)
    systemctl.start(scope, [*move.opens, *([service_unit(move.server)] if wake else [])])
