"""Carries a plan out: atomic writes, one reload at the most, and everything back when a step fails."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from projctl import agentunits, announce, installed, jobs, systemctl, unitfile
from projctl import registry as registry_
from projctl.diagnostics import Problem, ProjctlError
from projctl.names import TARGET, closing_order, instance_of, waves
from projctl.unitgenerator import store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from projctl.plan import Plan
    from projctl.scope import Scope

REGISTRY = "ports.json"


def write(path: Path, text: str, mode: int = 0o644, times: tuple[int, int] | None = None) -> None:
    """Replace a file as a whole or not at all, and safely on disk; `times` (ns) keeps its time stamp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        if times:
            os.utime(name, ns=times)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_drop_ins(scope: Scope, paths: Iterable[str]) -> dict[str, str]:
    """The runtime drop-ins that there are among these."""
    found = {path: _read(scope.runtime_units / path) for path in paths}
    return {path: text for path, text in found.items() if text is not None}


def place_drop_ins(scope: Scope, wanted: Mapping[str, str | None]) -> None:
    """Write runtime drop-ins, and delete those that are None."""
    with _clear(f"cannot write to {scope.runtime_units}"):
        for path, text in wanted.items():
            file = scope.runtime_units / path
            if text is not None:
                write(file, text)
            elif file.exists():
                file.unlink()
                with contextlib.suppress(OSError):
                    file.parent.rmdir()


def mark_down(scope: Scope, servers: Iterable[str], *, down: bool) -> None:
    """Mark servers as taken down by order, or no longer."""
    place = installed.marks_of_down(scope)
    with _clear(f"cannot write to {place}"):
        for server in servers:
            if down:
                write(place / server, "")
            else:
                (place / server).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(scope: Scope) -> Iterator[None]:
    """Hold the lock of the state directory: two runs never give ports or write units at the same time."""
    with _clear(f"cannot write to {scope.state}"):
        scope.state.mkdir(parents=True, exist_ok=True)
        handle = os.open(scope.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _clear(what: str) -> Iterator[None]:
    """Operating system errors as one clear message."""
    try:
        yield
    except PermissionError as error:
        raise ProjctlError(
            f"{what}: permission denied ({error.filename})", hint="run as root, or with --user"
        ) from None
    except OSError as error:
        raise ProjctlError(f"{what}: {(error.strerror or str(error)).lower()}") from None


def write_registry(scope: Scope, text: str) -> None:
    """Store the port registry; one that is damaged is kept beside it, never overwritten."""
    file = scope.state / REGISTRY
    with _clear(f"cannot write the port registry in {scope.state}"):
        old = _read(file)
        if old is not None and old != text:
            _keep_damaged(file, old)
        if old != text:
            write(file, text)


def _keep_damaged(file: Path, text: str) -> None:
    """Set a damaged registry aside under the time of now, unless it was already: the last apply may have failed."""
    try:
        registry_.loads(text)
    except registry_.DamagedError:
        kept = file.parent.glob(f"{file.name}.damaged-*")
        if not any(_read(other) == text for other in kept):
            write(file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"), text)


def read_registry(scope: Scope) -> str | None:
    """The stored port registry, None when there is none."""
    with _clear(f"cannot read the port registry in {scope.state}"):
        return _read(scope.state / REGISTRY)


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


def export(directory: Path, units: Mapping[str, str]) -> None:
    """Write rendered units into a directory of the user's, all or none; raises for a file that is not ours."""
    with _clear(f"cannot write to {directory}"):
        before = {name: _read(directory / name) for name in units}
        if foreign := [
            name for name, text in before.items() if text is not None and not unitfile.is_ours(text)
        ]:
            hint = "move it away, or name another directory"
            raise ProjctlError(
                *(
                    Problem(f"cannot replace {directory / name}: projctl did not write it", hint=hint)
                    for name in sorted(foreign)
                )
            )
        for name, text in units.items():
            if before[name] != text:
                write(directory / name, text)


def verify(scope: Scope, units: Mapping[str, str]) -> None:
    """Raise what systemd-analyze says about the units; it must say nothing."""
    if not units:
        return
    with tempfile.TemporaryDirectory(prefix="projctl-verify-") as name:
        files = [Path(name, unit) for unit in units]
        for file in files:
            file.write_text(units[file.name], "utf-8", errors="surrogateescape")
        said = systemctl.verify(scope, files).replace(f"{name}/", "").rstrip("\n")
    if said:
        raise ProjctlError(*(Problem(f"systemd refuses the units: {line}") for line in said.split("\n")))


@dataclass
class _Journal:
    """What was there before, to put it back."""

    scope: Scope
    files: dict[Path, tuple[str, tuple[int, int]] | None] = field(default_factory=dict)
    links: list[tuple[Path, str | None]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)

    def remember(self, path: Path) -> None:
        text = _read(path)
        stamp = path.stat() if text is not None else None
        self.files[path] = (
            (text, (stamp.st_atime_ns, stamp.st_mtime_ns)) if text is not None and stamp else None
        )

    def undo(self) -> None:
        if self.started:
            systemctl.close(self.scope, closing_order(self.started))
            systemctl.reset_failed(self.scope, self.started)
        # What was kept for the systemd generator holds no longer: it finds its own way from here.
        (self.scope.rendered / store.INDEX).unlink(missing_ok=True)
        for path, old in self.files.items():
            if old is None:
                path.unlink(missing_ok=True)
            else:
                write(path, old[0], times=old[1])
        for path, target in reversed(self.links):
            path.unlink(missing_ok=True)
            if target is not None:
                path.symlink_to(target)
        systemctl.daemon_reload(self.scope)
        # What served before serves again: sockets, then the services that ran; a proxy starts its backend.
        ran = [unit for unit in self.stopped if unit.endswith(".service") and ".backend" not in unit]
        for units in ([unit for unit in self.stopped if unit.endswith(".socket")], ran):
            if units:
                systemctl.start(self.scope, units)
        for wave in waves(self.restarted):
            jobs.cycle(self.scope, wave)


def confirm(scope: Scope) -> None:
    """Note that everything is as wanted: what changes in the unit directory from now on is looked at again."""
    with _clear(f"cannot write to {scope.state}"):
        _sweep(scope)
        write(scope.state / installed.STAMP, "")


def _sweep(scope: Scope) -> None:
    """Remove what runs that were killed had half written; the lock is held, so nobody is writing now."""
    for directory, names in ((scope.state, (REGISTRY, installed.STAMP)), (scope.units, ("projctl",))):
        for path in [path for name in names for path in directory.glob(f".{name}*")]:
            if not path.name.startswith(f".{agentunits.SERVICE.partition('.')[0]}"):
                path.unlink(missing_ok=True)


def keep_rendered(scope: Scope, files: Mapping[str, str]) -> None:
    """Keep these files, and no others, for the systemd generator; what that rendered itself is superseded."""
    with _clear(f"cannot keep rendered units in {scope.rendered}"):
        scope.rendered.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, text in files.items():
            if _read(scope.rendered / name) != text:
                write(scope.rendered / name, text)
        for directory, kept in ((scope.rendered, files.keys()), (scope.generated, set())):
            for path in [path for path in directory.glob("*") if path.name not in kept]:
                path.unlink(missing_ok=True)


def run(
    plan: Plan,
    scope: Scope,
    registry: str,
    rendered: Mapping[str, str] = MappingProxyType({}),
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Carry the plan out; on any failure put everything back as it was and say so.

    `rendered` is what the systemd generator must find when systemd reloads.
    """
    before = _Journal(scope)
    try:
        before.remember(scope.state / REGISTRY)
        with _clear(f"cannot install units in {scope.units}"):
            _carry_out(plan, scope, registry, rendered, before, tell)
    except BaseException as error:
        undone = _undo(before)
        if isinstance(error, ProjctlError):
            raise ProjctlError(*error.problems, Problem(undone)) from None
        raise
    confirm(scope)


def _undo(before: _Journal) -> str:
    try:
        before.undo()
    except (ProjctlError, OSError) as error:
        return f"cannot put everything back: {error}"
    return "nothing was changed: all units are as they were before"


def _carry_out(
    plan: Plan,
    scope: Scope,
    registry: str,
    rendered: Mapping[str, str],
    before: _Journal,
    tell: Callable[[str], None],
) -> None:
    write_registry(scope, registry)
    announce.tell(scope, "apply", sorted(plan.moved - _servers(plan.restart)))
    if plan.stop:
        tell(f"closing {_count(plan.stop)}")
        before.stopped += plan.stop
        systemctl.close(scope, plan.stop)
    _change_files(plan, scope, before)
    if rendered:
        keep_rendered(scope, rendered)
    if plan.reload:
        tell("reloading systemd's units")
        systemctl.daemon_reload(scope)
    if plan.superseded:
        systemctl.stop(scope, plan.superseded)
    if plan.forget:
        systemctl.reset_failed(scope, plan.forget)
    if plan.start:
        tell(f"opening {_count(plan.start)}")
        before.started += plan.start
        systemctl.start(scope, ([TARGET] if TARGET in plan.link else []) + list(plan.start))
    if plan.warm:
        systemctl.start_soon(scope, plan.warm)
    _restart(plan, scope, before, tell)
    if plan.touched:
        jobs.end_pauses(scope, plan.touched)


def _restart(plan: Plan, scope: Scope, before: _Journal, tell: Callable[[str], None]) -> None:
    """Restart what is to be, instances one after the other."""
    if plan.restart:
        tell(f"restarting {_count(plan.restart)}")
    for wave in waves(plan.restart):
        announce.tell(scope, "apply", sorted(_servers(wave)))
        before.restarted += wave
        jobs.cycle(scope, wave)


def _servers(units: Iterable[str]) -> set[str]:
    return {server for unit in units if (server := instance_of(unit))}


def _count(units: tuple[str, ...]) -> str:
    return f"{len(units)} unit" + ("s" if len(units) != 1 else "")


def _change_files(plan: Plan, scope: Scope, before: _Journal) -> None:
    for unit, text in plan.write.items():
        path = scope.units / unit
        before.remember(path)
        old = before.files[path]
        write(path, text, times=old[1] if old and unit in plan.keep_time else None)
    for unit in plan.link:
        link = installed.target_link(scope) if unit == TARGET else installed.wants(scope) / unit
        before.links.append((link, None))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(scope.units / unit)
    # Before the unit goes: of a link alone the next apply would not know that it is ours.
    for unit in plan.unlink:
        link = installed.target_link(scope) if unit == TARGET else installed.wants(scope) / unit
        before.links.append((link, str(link.readlink())))
        link.unlink(missing_ok=True)
    for unit in plan.delete:
        # Other ports that were given for a while end with the unit they were for, as does what the agent asked for.
        for drop_in in installed.runtime_drop_ins(scope, unit):
            before.remember(drop_in)
            if drop_in.exists():
                drop_in.unlink()
                with contextlib.suppress(OSError):
                    drop_in.parent.rmdir()
        before.remember(scope.units / unit)
        (scope.units / unit).unlink(missing_ok=True)
    for mark in [installed.marks_of_down(scope) / server for server in plan.forgotten]:
        before.remember(mark)
        mark.unlink(missing_ok=True)


def install_agent(scope: Scope, files: Mapping[Path, str], *, start: bool) -> None:
    """Write the agent's files, make its user and catalog known, enable it, and start it when asked to."""
    with _clear("cannot install the agent"):
        for path, text in files.items():
            old = _read(path)
            if old is not None and not agentunits.is_ours(old):
                raise ProjctlError(f"cannot replace {path}: projctl did not write it", hint="move it away")
            if old != text:
                write(path, text)
        for unit, link in _agent_links(scope).items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(scope.units / unit)
    if not scope.user:
        systemctl.take_over_users_and_catalog()
    systemctl.daemon_reload(scope)
    if start:
        systemctl.restart(scope, [*agentunits.sockets(scope), agentunits.SERVICE])


def remove_agent(scope: Scope) -> None:
    """Stop the agent, delete its files and links; its user and its state stay, and files of others."""
    systemctl.stop(scope, [*agentunits.services(scope), *agentunits.sockets(scope)])
    with _clear("cannot remove the agent"):
        ours = [path for path in agentunits.places(scope) if agentunits.is_ours(_read(path) or "")]
        for path in [*ours, *_agent_links(scope).values()]:
            path.unlink(missing_ok=True)
        for unit in agentunits.services(scope):
            with contextlib.suppress(OSError):
                (scope.units / f"{unit}.d").rmdir()
    systemctl.daemon_reload(scope)


def _agent_links(scope: Scope) -> dict[str, Path]:
    boot = "default.target" if scope.user else "multi-user.target"
    links = {unit: scope.units / "sockets.target.wants" / unit for unit in agentunits.sockets(scope)}
    return links | {agentunits.SERVICE: scope.units / f"{boot}.wants" / agentunits.SERVICE}
