"""What a lab changes in the host's files (an overlay of them) so that it boots fast, quiet and alone."""

from __future__ import annotations

import contextlib
import pwd
import shutil
import uuid
from typing import TYPE_CHECKING

from projctl.lab.order import COMMANDS_UNIT

if TYPE_CHECKING:
    from pathlib import Path

#: All that is started at boot; everything else starts when something asks for it.
_WANTED = frozenset(
    {
        "dbus.socket",
        "systemd-journald-dev-log.socket",
        "systemd-journald.service",
        "systemd-journald.socket",
        "systemd-journal-flush.service",
        "systemd-tmpfiles-setup.service",
        "systemd-user-sessions.service",
    }
)
#: State of the host that has no meaning in a lab, or would confuse: units and registry of projctl, old
#: journals, whatever is enabled or generated here, the host's settings of systemd itself.
_HIDDEN = (
    "etc/fstab",
    "etc/systemd/journald.conf.d",
    "etc/systemd/system",
    "etc/systemd/system.conf",
    "etc/systemd/system.conf.d",
    "etc/systemd/user",
    "usr/lib/systemd/system-generators",
    "usr/lib/systemd/system-environment-generators",
    "lib/systemd/system-generators",
    "lib/systemd/system-environment-generators",
    "usr/local/lib/systemd/system-generators",
    "etc/systemd/system-generators",
    "var/lib/projctl",
    "var/lib/systemd/linger",
    "var/log/journal",
)
_HIDDEN_AT_HOME = (".config/systemd/user", ".local/state/projctl")
_WRITTEN = {
    # without --remove: systemd-tmpfiles would empty /tmp, where the user's directories may be bound
    "etc/systemd/system/systemd-tmpfiles-setup.service": """\
[Unit]
Description=Create System Files and Directories
DefaultDependencies=no
After=systemd-journald.service
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-tmpfiles --create --boot --exclude-prefix=/dev --exclude-prefix=/tmp --exclude-prefix=/sys
SuccessExitStatus=DATAERR CANTCREAT
""",
    # holds the cgroup that commands of the lab's user run in, so that PID 1 and the journal know them
    f"etc/systemd/system/{COMMANDS_UNIT}": """\
[Unit]
Description=Commands run in the lab

[Service]
ExecStart=sleep infinity
Delegate=yes
""",
    # persistent, that is on the overlay in memory: only there do users have a journal of their own
    "etc/systemd/journald.conf": """\
[Journal]
Storage=persistent
RateLimitIntervalSec=0
""",
}
_LINKED = {
    "etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
    f"etc/systemd/system/multi-user.target.wants/{COMMANDS_UNIT}": f"/etc/systemd/system/{COMMANDS_UNIT}",
    "etc/systemd/system/tmp.mount": "/dev/null",
}


def prepare(root: Path) -> None:
    """Change the tree at `root`, an overlay: hide the host's own state, enable only what a lab needs."""
    for name in _HIDDEN:
        _hide(root / name)
    for user in pwd.getpwall():
        for name in _HIDDEN_AT_HOME:
            with contextlib.suppress(OSError):  # a home may be missing, or shown read-only
                _hide(root / user.pw_dir.lstrip("/") / name)
    for units in ("lib/systemd/system", "usr/lib/systemd/system", "usr/local/lib/systemd/system"):
        _prune(root / units)
    for name, text in _WRITTEN.items():
        _file(root / name).write_text(text)
    # one of its own: without, systemd would take this for a first boot and enable what its presets say
    _file(root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    for name, target in _LINKED.items():
        _file(root / name).symlink_to(target)


def _hide(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _prune(units: Path) -> None:
    for link in (*units.glob("*.target.wants/*"), *units.glob("*.target.requires/*")):
        if link.name not in _WANTED:
            link.unlink()


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path
