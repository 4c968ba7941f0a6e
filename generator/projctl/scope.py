"""Whose systemd is meant, and where its files lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Scope(NamedTuple):
    """The system's manager, or with `user` the caller's own; `host`/`machine` as systemctl takes them."""

    user: bool = False
    host: str | None = None
    machine: str | None = None

    @property
    def remote(self) -> bool:
        """Whether another machine is meant, whose files cannot be reached from here."""
        return bool(self.host or self.machine)

    @property
    def flags(self) -> list[str]:
        """The options that make systemctl and journalctl talk to this manager."""
        named = [f"--host={self.host}"] if self.host else []
        named += [f"--machine={self.machine}"] if self.machine else []
        return named + (["--user"] if self.user else [])

    @property
    def manifests(self) -> Path:
        """Where manifests are looked for when none is named."""
        return (_xdg("XDG_CONFIG_HOME", ".config") if self.user else Path("/etc")) / "projctl/projects.d"

    @property
    def units(self) -> Path:
        """Where rendered units are installed."""
        return (
            _xdg("XDG_CONFIG_HOME", ".config") / "systemd/user" if self.user else Path("/etc/systemd/system")
        )

    @property
    def runtime_units(self) -> Path:
        """Where units and drop-ins lie that are gone after a reboot (user mode: a log-out)."""
        if not self.user:
            return Path("/run/systemd/system")
        return self.runtime.parent / "systemd/user"

    @property
    def rendered(self) -> Path:
        """Where apply keeps what it rendered for the systemd generator; for the system's manager only."""
        return self.manifests.parent / "rendered"

    @property
    def generator_configuration(self) -> Path:
        """The file that switches the systemd generator on."""
        return self.manifests.parent / "generator.conf"

    @property
    def generated(self) -> Path:
        """Where the systemd generator keeps what it gave systemd last."""
        return self.runtime / "generated"

    @property
    def generator_units(self) -> Path:
        """Where the systemd generator of the system's manager puts units that are not installed."""
        return Path("/run/systemd/generator")

    @property
    def overrides(self) -> Path:
        """Where an administrator may put templates that win over ours."""
        return self.manifests.parent / "units"

    @property
    def state(self) -> Path:
        """Where the port registry lies; PROJCTL_STATE_DIR overrides."""
        if named := os.environ.get("PROJCTL_STATE_DIR"):
            return Path(named)
        return _xdg("XDG_STATE_HOME", ".local/state") / "projctl" if self.user else Path("/var/lib/projctl")

    @property
    def runtime(self) -> Path:
        """Where Unix sockets are made: below /run, in user mode below XDG_RUNTIME_DIR."""
        if not self.user:
            return Path("/run/projctl")
        return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / "projctl"


def _xdg(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    return Path(named) if named.startswith("/") else Path.home() / default
