"""Users and what the permissions on this machine let them do; reads only."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass, field
from pathlib import Path

#: Where a sandbox puts something empty over everything: what lies below is bound in, whoever owns the way.
COVERED = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - names, not files of ours

_READ, _EXECUTE = 4, 1


@dataclass(frozen=True)
class Account:
    """Who a project runs as. A dynamic user has no number, group or home before it runs."""

    name: str
    uid: int | None = None
    gid: int | None = None
    groups: frozenset[int] = field(default_factory=frozenset)
    home: str | None = None

    @property
    def label(self) -> str:
        """What messages call it."""
        return "a dynamic user" if self.uid is None else f'user "{self.name}"'

    def may_execute(self, path: str) -> bool:
        """Whether it may run the file, or enter the directory, once it has come that far; raises OSError."""
        return self._may(path, _EXECUTE)

    def may_read(self, path: str) -> bool:
        """Whether it may read the file, once it has come that far; raises OSError."""
        return self._may(path, _READ)

    def _may(self, path: str, bit: int) -> bool:
        status = os.stat(path)  # noqa: PTH116 - ten times faster, and there are many
        if self.uid == 0:
            return bit == _READ or stat.S_ISDIR(status.st_mode) or bool(status.st_mode & 0o111)
        if self.uid == status.st_uid:
            allowed = status.st_mode >> 6
        else:
            allowed = status.st_mode >> 3 if status.st_gid in self.groups else status.st_mode
        return bool(allowed & bit) or _has_access_list(path)


def _has_access_list(path: str) -> bool:
    # Lists can grant what the mode does not show; then the start itself must tell.
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        return False


#: What the system manager itself runs as.
ROOT = Account("root", 0, 0, frozenset({0}), "/root")


def find(name: str) -> Account:
    """The account of a user's name or number; raises KeyError when there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        if not (name.isascii() and name.isdigit()):
            raise
        entry = pwd.getpwuid(int(name))
    return _account(entry)


def own() -> Account:
    """Our own account, whether or not it has an entry in the user database."""
    try:
        return _account(pwd.getpwuid(os.getuid()))
    except KeyError:
        groups = frozenset(os.getgroups())
        return Account(str(os.getuid()), os.getuid(), os.getgid(), groups, str(Path.home()))


def _account(entry: pwd.struct_passwd) -> Account:
    groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


class Ways:
    """Which directories an account cannot pass; remembers them, so it serves for one look at the machine."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}
        self._real: dict[str, str] = {}

    def barriers(self, account: Account, path: str) -> tuple[str, ...]:
        """Those on the way to `path`, and on the way to where its symlinks lead; raises OSError."""
        if path not in self._real:
            self._real[path] = os.path.realpath(path)
        ways = dict.fromkeys((parent(path), parent(self._real[path])))
        return tuple(barrier for way in ways for barrier in self._through(account, way))

    def _through(self, account: Account, directory: str) -> tuple[str, ...]:
        key = account.name, directory
        if key not in self._known:
            above = self._through(account, parent(directory)) if directory != "/" else ()
            self._known[key] = above if _may_pass(account, directory) else (*above, directory)
        return self._known[key]


def _may_pass(account: Account, directory: str) -> bool:
    try:
        return account.may_execute(directory)
    except (FileNotFoundError, NotADirectoryError):
        # What is missing bars nobody; whoever looks for the path itself says so.
        return True


def parent(path: str) -> str:
    """The directory an absolute path lies in."""
    return path.rpartition("/")[0] or "/"


def is_below(path: str, directories: tuple[str, ...]) -> bool:
    """Whether the path is one of the directories or lies in one."""
    return any(path == directory or path.startswith(directory.rstrip("/") + "/") for directory in directories)


def exists_user(name: str) -> bool:
    """Whether the user database knows the name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def exists_group(name: str) -> bool:
    """Whether the group database knows the name."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
