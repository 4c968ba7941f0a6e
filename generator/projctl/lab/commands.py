"""Commands inside a lab: how they get into its namespaces, into a cgroup of its systemd, and end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What Popen takes for stdin, stdout and stderr.
Stream = int | IO[Any] | None

#: Opens the cgroup out here, where its path means something, and enters all namespaces. The shell keeps its
#: pid out here and waits, deaf to the keyboard; its child is in the lab's pid namespace, joins the cgroup
#: there, gets the signals' defaults back and becomes the command. The shell's own "Terminated" is not shown.
_OUTSIDE = (
    'exec 9>"$1"; leader=$2; shift 2; trap "" INT QUIT; exec nsenter -F --target "$leader" --all -- "$@"'
)
_INSIDE = """
cd -- "$1" || exit 125
shift
exec 8>&2 2>/dev/null
(echo 0 >&9; exec env --default-signal=INT,QUIT -- "$@" 2>&8 8>&- 9>&-)
exit $?
"""
_AS_USER = """
user=$1; shift
id=$(id -u "$user") && group=$(id -g "$user") || exit 125
export USER="$user" LOGNAME="$user" HOME="$(getent passwd "$user" | cut -d: -f6)"
export XDG_RUNTIME_DIR="/run/user/$id"
exec setpriv --reuid "$id" --regid "$group" --init-groups -- "$@"
"""


@dataclass(frozen=True)
class Entrance:
    """The way into a lab: its PID 1 as seen from here, and a cgroup of its own for each command."""

    leader: int
    cgroup: Path

    def argv(self, argv: Sequence[str], cwd: str, user: str | None) -> list[str]:
        """What to run out here so that `argv` runs in the lab."""
        as_user = ["sh", "-c", _AS_USER, "sh", user] if user is not None else []
        inside = ["sh", "-c", _INSIDE, "sh", cwd, *as_user, *argv]
        return ["sh", "-c", _OUTSIDE, "sh", str(self.cgroup / "cgroup.procs"), str(self.leader), *inside]


class Command(subprocess.Popen[str]):
    """A command in a lab. Signals reach the command itself; `kill` ends all it has started, too.

    Its return code is the command's exit status, or 128 + n when signal n ended it.
    """

    def __init__(
        self,
        entrance: Entrance,
        argv: Sequence[str],
        cwd: str,
        user: str | None,
        env: Mapping[str, str],
        streams: tuple[Stream, Stream, Stream],
    ) -> None:
        self._cgroup = entrance.cgroup
        self._cgroup.mkdir()
        stdin, stdout, stderr = streams
        super().__init__(
            entrance.argv(argv, cwd, user),
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8",
            errors="surrogateescape",
        )

    def send_signal(self, sig: int) -> None:
        """As Popen's, but for the process in the lab instead of the one that waits for it outside."""
        if self.poll() is not None:
            return
        with contextlib.suppress(OSError):  # it may end meanwhile
            for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                os.kill(int(pid), sig)

    def kill(self) -> None:
        """End the command and all it has started."""
        with contextlib.suppress(OSError):
            (self._cgroup / "cgroup.kill").write_text("1")
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def forget(self) -> None:
        """Remove the command's cgroup, unless something it started still runs."""
        with contextlib.suppress(OSError):
            self._cgroup.rmdir()
