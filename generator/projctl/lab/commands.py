"""Commands inside a lab: how they get into its namespaces, into a cgroup of its systemd, and end."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any

#: Opens the cgroup outside, where its path means something; enters; joins it there with a pid that the lab's
#: systemd can see. nsenter waits outside, deaf to the keyboard; the command gets the signals' defaults back.
_OUTSIDE = 'exec 9>"$1"; leader=$2; shift 2; trap "" INT QUIT; exec nsenter --target "$leader" --all -- "$@"'
_INSIDE = 'echo 0 >&9; exec 9>&-; cd -- "$1" || exit 125; shift; exec env --default-signal=INT,QUIT -- "$@"'
_AS_USER = """
user=$1; shift
id=$(id -u "$user") && group=$(id -g "$user") || exit 125
export USER="$user" LOGNAME="$user" HOME="$(getent passwd "$user" | cut -d: -f6)"
export XDG_RUNTIME_DIR="/run/user/$id"
exec setpriv --reuid "$id" --regid "$group" --init-groups -- "$@"
"""


class Command(subprocess.Popen[str]):
    """A command in a lab. Signals reach the command itself; `kill` ends all it has started, too."""

    def __init__(
        self, leader: int, cgroup: Path, argv: list[str], cwd: str, user: str | None, **options: Any
    ) -> None:
        cgroup.mkdir()
        self._cgroup = cgroup
        if user is not None:
            argv = ["sh", "-c", _AS_USER, "sh", user, *argv]
        inside = ["sh", "-c", _INSIDE, "sh", cwd, *argv]
        outside = ["sh", "-c", _OUTSIDE, "sh", str(cgroup / "cgroup.procs"), str(leader), *inside]
        super().__init__(outside, text=True, encoding="utf-8", errors="surrogateescape", **options)

    def send_signal(self, sig: int) -> None:
        """As Popen's, but for the process in the lab instead of the one that waits for it outside."""
        if self.poll() is None:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            for pid in children or [str(self.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), sig)

    def kill(self) -> None:
        """End the command and all it has started."""
        with contextlib.suppress(OSError):
            (self._cgroup / "cgroup.kill").write_text("1")
        super().kill()

    def forget(self) -> None:
        """Remove the command's cgroup, unless something it started still runs."""
        with contextlib.suppress(OSError):
            self._cgroup.rmdir()
