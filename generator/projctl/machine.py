"""Facts about this machine that units need and manifests cannot tell; reads only, runs nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from projctl import accounts, programs
from projctl.accounts import COVERED, Account, Ways, is_below
from projctl.diagnostics import Problem, errors
from projctl.network import (
    bindable,
    ephemeral_range,
    first_unprivileged_port,
    interfaces,
    listeners,
    reserved_ports,
    try_bind,
    unix_listeners,
    user_name,
)
from projctl.shellwords import plain

if TYPE_CHECKING:
    from projctl.listen import Listen
    from projctl.model import Fleet, Project

__all__ = [
    "Facts",
    "bindable",
    "ephemeral_range",
    "first_unprivileged_port",
    "inspect",
    "listeners",
    "reserved_ports",
    "try_bind",
    "unix_listeners",
]


@dataclass(frozen=True)
class Facts:
    """What was found for one project.

    `program` is absolute, as found, symlinks kept. `interpreter_roots` are paths outside the project and the
    system's trees that must be visible for it to run. `uid`, `gid` and `home` are None for a dynamic user.
    `interpreter` runs the program where that is a script.
    `hidden`: the user cannot reach some of these on its own, the sandbox must bind them in.
    """

    program: str
    interpreter_roots: tuple[str, ...]
    uid: int | None
    gid: int | None
    home: str | None
    directory_owner: str
    hidden: bool = False
    interpreter: str = ""


def inspect(fleet: Fleet, user_mode: bool) -> tuple[dict[str, Facts], list[Problem]]:
    """The facts of each project that has no error, and every problem; paths must be absolute."""
    facts: dict[str, Facts] = {}
    problems: list[Problem] = []
    known: dict[str | None, Account | Problem] = {}
    ways = Ways()
    for name, project in fleet.projects.items():
        inspection = _Inspection(fleet, project, user_mode, ways)
        if project.user not in known:
            known[project.user] = _account(project.user, user_mode)
        found = inspection.run(known[project.user])
        problems += inspection.problems
        if found and not errors(inspection.problems):
            facts[name] = found
    return facts, problems


def _account(user: str | None, user_mode: bool) -> Account | Problem:
    if user == "dynamic":
        return (
            Problem('cannot use "dynamic" in user mode', hint="leave it out") if user_mode else Account(user)
        )
    try:
        account = accounts.find(user or "root") if user or not user_mode else accounts.own()
    except (KeyError, OverflowError):
        hint = f'create it with "useradd --system {user}", or write "dynamic"'
        return Problem(f'unknown user "{user}"', hint=hint)
    if user_mode and account.uid != os.getuid():
        hint = "leave it out, or apply the manifest as root for the system manager"
        return Problem(f'cannot run as user "{user}" in user mode', hint=hint)
    return account


class _Inspection:
    """The look at one project."""

    def __init__(self, fleet: Fleet, project: Project, user_mode: bool, ways: Ways) -> None:
        self._ways = ways
        self.problems: list[Problem] = []
        self._fleet, self._project = fleet, project
        binds = not user_mode and (project.user == "dynamic" or project.sandbox == "strict")
        self._covered = COVERED if binds else ()
        self._reader = accounts.own() if user_mode else accounts.ROOT

    def run(self, account: Account | Problem) -> Facts | None:
        directory = self._project.path
        if isinstance(account, Problem):
            self._add("user", account.message, account.hint)
        self._check_sockets()
        usable = self._check_directory(directory, account if isinstance(account, Account) else self._reader)
        if self._project.env_file is not None:
            self._check_env_file(self._project.env_file)
        return self._look_up(directory, account) if usable and isinstance(account, Account) else None

    def _add(
        self, key: str, message: str, hint: str | None = None, severity: Literal["error", "warning"] = "error"
    ) -> None:
        mark = self._fleet.mark(self._project.name, *key.split("."))
        place = f"$.projects.{self._project.name}.{key}"
        self.problems.append(Problem(message, mark, place, hint, severity))

    def _refuse_look(self, key: str, path: str, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        hint = "try again as root" if isinstance(error, PermissionError) else None
        self._add(key, f"cannot look at {path}: {reason}", hint)

    def _check_directory(self, path: str, account: Account) -> bool:
        try:
            if not Path(path).exists():
                self._add("path", f"cannot find the directory {path}")
            elif not Path(path).is_dir():
                self._add("path", f"{path} is not a directory")
            elif not account.may_execute(path):
                self._add("path", f"{path} cannot be entered by {account.label}", f"try: ls -ld {path}")
            elif barrier := self._barrier(account, path):
                self._add("path", f"{path} cannot be entered by {account.label}", _way_in(barrier))
            else:
                return True
        except OSError as error:
            self._refuse_look("path", path, error)
        return False

    def _barrier(self, account: Account, path: str) -> str | None:
        """The first directory on the way that neither the user can pass nor the sandbox gets around."""
        if account.uid == 0:
            return None
        return next((b for b in self._ways.barriers(account, path) if not is_below(b, self._covered)), None)

    def _check_sockets(self) -> None:
        for name, listen in self._project.listen.items():
            written = (self._project.name, "listen", name) in self._fleet.marks
            self._check_socket(f"listen.{name}" if written else "listen", listen)

    def _check_socket(self, key: str, listen: Listen) -> None:
        if listen.owner and not accounts.exists_user(listen.owner):
            self._add(key, f'unknown user "{listen.owner}"')
        if listen.group and not accounts.exists_group(listen.group):
            self._add(key, f'unknown group "{listen.group}"')
        if listen.path and not Path(listen.path).parent.is_dir():
            self._add(key, f"cannot find the directory {Path(listen.path).parent}")
        if listen.device and listen.device not in interfaces():
            hint = f"there are: {', '.join(interfaces())}"
            self._add(key, f'cannot find the network interface "{listen.device}"', hint)
        if listen.host and listen.port and try_bind(listen.host, 0) == "absent":
            text = f"{listen.host} is no address of this machine: nobody can connect until it is"
            self._add(key, text, severity="warning")

    def _check_env_file(self, path: str) -> None:
        # systemd reads it, not the project.
        try:
            if not Path(path).exists():
                self._add("env_file", f"cannot find the file {path}")
            elif not Path(path).is_file():
                self._add("env_file", f"{path} is not a file")
            elif not self._reader.may_read(path) or self._barrier(self._reader, path):
                self._add("env_file", f"cannot read {path}: permission denied")
        except OSError as error:
            self._refuse_look("env_file", path, error)

    def _refusal(self, account: Account, path: str) -> str | None:
        """Why the account cannot execute the file; None when it can."""
        if not programs.is_file(path):
            return "it is not a file"
        if barrier := self._barrier(account, path):
            return f"{account.label} cannot enter {barrier}"
        return None if account.may_execute(path) else f"{account.label} cannot execute it"

    def _look_up(self, directory: str, account: Account) -> Facts | None:
        word = plain(self._project.run.words[0])
        try:
            files = self._files(word, directory, account)
        except programs.NotRunnableError as error:
            self._add("run", str(error), error.hint)
            return None
        except OSError as error:
            self._refuse_look("run", error.filename or word, error)
            return None
        roots = programs.roots(files, directory)
        hidden = account.uid != 0 and any(self._ways.barriers(account, path) for path in (directory, *files))
        owner = user_name(Path(directory).stat().st_uid)
        interpreter = files[1] if len(files) > 1 else ""
        return Facts(
            files[0], roots, account.uid, account.gid, account.home, owner, hidden, interpreter=interpreter
        )

    def _files(self, word: str, directory: str, account: Account) -> list[str]:
        """The program and its interpreters, all of which the account can execute."""
        env = self._project.env
        files = programs.chain(programs.find(word, directory, env, partial(self._refusal, account)), env)
        for file in files[1:]:
            if reason := self._refusal(account, file):
                hint = (
                    'install it where that user can reach it; "sandbox: strict" binds in what lies in a home'
                )
                raise programs.NotRunnableError(f"cannot run {files[0]} with {file}: {reason}", hint)
        return files


def _way_in(barrier: str) -> str:
    if is_below(barrier, COVERED):
        return f'the way is barred at {barrier}; "sandbox: strict" or "user: dynamic" binds the directory in'
    return f"the way is barred at {barrier}: let that user enter it, or move the project elsewhere"
