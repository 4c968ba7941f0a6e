"""Trials of projects: what each starts, side by side in a process each, and what they found as problems."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from projctl import accounts, adapters, wrappers
from projctl.diagnostics import Problem, ProjctlError, ordered
from projctl.preflight import cache, launch
from projctl.preflight.verdict import Verdict, advice, message
from projctl.programs import STANDARD_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import IO

    from projctl.build import Build
    from projctl.model import Project
    from projctl.preflight.launch import Launch

#: Who stands in for a dynamic user, that only systemd can make.
_STAND_IN = "nobody"
#: Variables that tell a server its own ports.
_PORT = re.compile("PORT(_.*)?")
#: Of the caller's variables, those that a user's manager hands on.
_OF_A_USER = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")


@dataclass(frozen=True)
class Trial:
    """One project's start: the order for the process that carries it out, and the key of its result.

    The key is None where the result depends on files that only the server knows: it is tried each time.
    """

    project: str
    order: Mapping[str, Any]
    key: str | None

    @property
    def proxied(self) -> bool:
        """Whether the server has to listen on $PORT itself."""
        return self.order["host"] is not None


def plan(found: Build, projects: Iterable[str], *, user_mode: bool) -> list[Trial]:
    """The trials of those projects that have a server."""
    trials = []
    for name in projects:
        start = launch.of(found.units, name)
        if start:
            order = _order(start, found.fleet.projects[name].start_timeout, user_mode=user_mode)
            trials.append(Trial(name, order, None if order["apart"] else cache.key(order)))
    return trials


def _order(start: Launch, timeout: float, *, user_mode: bool) -> dict[str, Any]:
    from_file = _read_env_file(start)
    # Without a user, the system's manager starts servers as root and tells them nothing of a home.
    account = _account(start, user_mode=user_mode)
    environment = {"PATH": ":".join(STANDARD_PATH), "LANG": os.environ.get("LANG", "C.UTF-8")}
    environment |= _identity(start, account, user_mode=user_mode)
    environment |= {**dict(start.environment), **from_file}
    known = adapters.every().get(start.adapter)
    apart = [stand.stream for stand in start.sockets] if known and known.configured else []
    given = [] if apart else [name for name in dict(start.environment) if _PORT.fullmatch(name)]
    return {
        "words": start.words,
        "environment": environment,
        "ports": [name for name in given if name not in from_file],
        "directory": start.directory,
        "uid": None if user_mode else account.uid,
        "gid": account.gid,
        "groups": sorted(account.groups),
        "sockets": [{"name": stand.name, "host": stand.host} for stand in start.sockets],
        "apart": apart,
        "host": start.host,
        "adapter": start.adapter,
        "notifies": start.notifies,
        "stop_signal": start.stop_signal,
        "state_directory": start.state_directory,
        "covers": start.covers,
        "binds": start.binds,
        "timeout": timeout,
    }


def _read_env_file(start: Launch) -> dict[str, str]:
    if start.env_file is None:
        return {}
    try:
        text = Path(start.env_file).read_text(errors="surrogateescape")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProjctlError(f"cannot read {start.env_file}: {reason}") from None
    return launch.read_variables(text)


def _account(start: Launch, *, user_mode: bool) -> accounts.Account:
    if user_mode:
        return accounts.own()
    name = _STAND_IN if start.dynamic else start.user
    return accounts.find(name) if name else accounts.ROOT


def _identity(start: Launch, account: accounts.Account, *, user_mode: bool) -> dict[str, str]:
    if user_mode:
        given = {name: os.environ[name] for name in _OF_A_USER if name in os.environ}
        return given | {"HOME": account.home or "/", "USER": account.name, "LOGNAME": account.name}
    if start.user and not start.dynamic:
        return {"HOME": account.home or "/", "USER": account.name, "LOGNAME": account.name}
    return {}


def run(trials: Iterable[Trial], tell: Callable[[str], None] = lambda _: None) -> dict[str, Verdict]:
    """The verdict on each, by project; as many run at once as there are processors. Leaves nothing running."""
    pending = list(trials)
    verdicts: dict[str, Verdict] = {}
    most = max(1, len(os.sched_getaffinity(0)))
    with contextlib.ExitStack() as stack:
        running: dict[IO[str], tuple[str, subprocess.Popen[str]]] = {}
        while pending or running:
            while pending and len(running) < most:
                trial = pending.pop(0)
                tell(trial.project)
                guard = stack.enter_context(_guarded(trial))
                assert guard.stdout  # noqa: S101 - narrows the type
                running[guard.stdout] = trial.project, guard
            for stream in select.select(list(running), [], [])[0]:
                project, guard = running.pop(stream)
                verdicts[project] = _verdict(stream.read(), guard)
    return verdicts


@contextlib.contextmanager
def _guarded(trial: Trial) -> Iterator[subprocess.Popen[str]]:
    """The process that carries out the trial; it ends all of it as soon as its standard input closes."""
    guard = subprocess.Popen(
        [sys.executable, "-sBP", "-m", "projctl.preflight.guard"],
        env={
            "PATH": ":".join(STANDARD_PATH),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "LANG": "C.UTF-8",
        },
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert guard.stdin and guard.stdout and guard.stderr  # noqa: S101, PT018 - narrows the types
    try:
        guard.stdin.write(json.dumps(trial.order) + "\n")
        guard.stdin.flush()
        yield guard
    finally:
        with contextlib.suppress(BrokenPipeError):
            guard.stdin.close()
        guard.wait()
        guard.stdout.close()
        guard.stderr.close()


def _verdict(text: str, guard: subprocess.Popen[str]) -> Verdict:
    if text:
        return Verdict.load(json.loads(text))
    assert guard.stderr  # noqa: S101 - narrows the type
    said = guard.stderr.read().strip().splitlines()
    return Verdict("broken", text=said[-1] if said else "the trial was ended from outside")


def _cures(project: Project, trial: Trial, verdict: Verdict) -> tuple[str | None, str | None]:
    """What to do about a wrapper around the server, and what the server itself asks for to take its socket."""
    adapter, cure = adapters.choose(project), wrappers.cure(project)
    if adapter.configured and trial.order["apart"] and (verdict.outcome != "exited" or verdict.collided):
        lines = " ".join(map(adapter.configured, trial.order["apart"]))
        cure = cure or f"its configuration must name the very address of its socket: {lines}"
    return cure, adapter.asks


def problems(found: Build, trials: Iterable[Trial], verdicts: Mapping[str, Verdict]) -> list[Problem]:
    """A problem for each verdict that is not good, at the project's `run`."""
    tried = {trial.project: trial for trial in trials}
    return ordered(
        Problem(
            message(verdict, proxied=tried[name].proxied),
            found.fleet.mark(name, "run"),
            f"$.projects.{name}.run",
            advice(
                verdict,
                *_cures(found.fleet.projects[name], tried[name], verdict),
                proxied=tried[name].proxied,
            ),
        )
        for name, verdict in verdicts.items()
        if not verdict.good
    )
