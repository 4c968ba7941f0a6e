"""Collects the facts of the machine and of the agent; what cannot be read stays unknown, never an error."""

from __future__ import annotations

import os
import pwd
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from projctl import __version__, agentlink, agentunits, installed, systemctl, unitfile
from projctl.diagnostics import ProjctlError
from projctl.doctor.facts import Agent, Copy, Descriptors, Host, Journal
from projctl.names import project_of

if TYPE_CHECKING:
    from projctl.doctor.facts import Helper
    from projctl.scope import Scope

_CGROUPS = Path("/sys/fs/cgroup")
#: The version of Linux that tells inodes in /proc/PID/fdinfo, by which the agent's helper knows sockets of servers.
_FDINFO_INODES = (5, 14)
_HELPER = "projctl-agent-helper.socket"
_POLKIT = Path("/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service")
_RULES = (Path("/etc/polkit-1/rules.d"), Path("/usr/share/polkit-1/rules.d"))
_PACKAGES = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "local/lib/python3*/dist-packages")
#: Sockets whose counters are looked at: what holds for one holds for all.
_SAMPLE = 5


def host(scope: Scope) -> Host:
    """The machine and the systemd that is meant."""
    try:
        systemctl.require(scope)
        version = systemctl.version()
    except ProjctlError:
        version = None
    if version is None:
        return Host(None, copies=_copies(), user_mode=scope.user)
    group = _group(scope)
    return Host(
        systemd=version,
        unified=(_CGROUPS / "cgroup.controllers").exists(),
        controllers=frozenset(_read(group / "cgroup.controllers").split()),
        freezes=any(map(_freezes, installed.read(scope).files.values())),
        shows_sockets=_kernel() >= _FDINFO_INODES,
        counting=_counting(scope),
        ptrace_scope=_number("/proc/sys/kernel/yama/ptrace_scope"),
        journal=_journal(),
        descriptors=_descriptors(scope),
        copies=_copies(),
        user_mode=scope.user,
        lingers=Path("/var/lib/systemd/linger", pwd.getpwuid(os.getuid()).pw_name).exists(),
    )


def _kernel() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", os.uname().release)[:2])


def _group(scope: Scope) -> Path:
    """The control group of the manager and all that it runs."""
    uid = os.getuid()
    return _CGROUPS / f"user.slice/user-{uid}.slice/user@{uid}.service" if scope.user else _CGROUPS


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _read(Path(path)).strip()
    return int(text) if text.isdecimal() else None


def _counting(scope: Scope) -> bool | None:
    """Whether open sockets of ours have byte counters; None where none tells."""
    listening = systemctl.open_sockets(scope)
    units = [
        unit for unit, streams in listening.items() if project_of(unit) and not streams[0].startswith("/")
    ]
    shown = systemctl.show(scope, units[:_SAMPLE], ("IPAccounting", "IPIngressBytes"))
    asked = [unit for unit in shown if unit.get("IPAccounting") == "yes"]
    return any(_is_count(unit.get("IPIngressBytes", "")) for unit in asked) if asked else None


def _freezes(text: str) -> bool:
    found = unitfile.values(unitfile.parse(text), "X-Projctl", "IdleFreezeSec")
    return bool(found) and found[-1] != "infinity"


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) < (1 << 64) - 1


def _journal() -> Journal | None:
    """From the heads of its files: no entry needs to be read."""
    try:
        text = "\n".join(systemctl.journal_lines(["--header"]))
    except ProjctlError:
        return None
    found = re.findall(r"^Head realtime timestamp: .*\(([0-9a-f]+)\)$", text, re.MULTILINE)
    times = [int(moment, 16) / 1e6 for moment in found]
    kept = re.search(r"^File path: /var/log/journal/", text, re.MULTILINE) is not None
    return Journal(kept, min(filter(None, times), default=None)) if text else None


def _descriptors(scope: Scope) -> Descriptors | None:
    """Of the manager's process; PID 1 shows its own to root alone."""
    pid = 1 if not scope.user else (_read(_group(scope) / "init.scope/cgroup.procs").split() or ["0"])[0]
    limit = re.search(r"^Max open files +(\d+)", _read(Path(f"/proc/{pid}/limits")), re.MULTILINE)
    try:
        count = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    listening = sum(map(len, systemctl.open_sockets(scope).values()))
    return Descriptors(int(limit[1]), count, listening) if limit else None


def _copies() -> tuple[Copy, ...]:
    """Every projctl that a shell might run, each once, in the order of PATH; nothing is run for it."""
    places = [Path(part) for part in os.environ.get("PATH", "").split(":") if part.startswith("/")]
    places += [
        Path("/usr/local/bin"),
        Path("/usr/bin"),
        Path.home() / ".local/bin",
        Path(sys.executable).parent,
    ]
    found: dict[Path, Copy] = {}
    for file in (place / "projctl" for place in places):
        if os.access(file, os.X_OK):
            found.setdefault(file.resolve(), Copy(str(file), _version_of(file)))
    return tuple(found.values())


def _version_of(program: Path) -> str | None:
    """The version that the package beside a program of ours says; None where none does."""
    home = program.resolve().parent
    if home == Path(sys.executable).parent.resolve():
        return __version__
    found = [
        path.name for pattern in _PACKAGES for path in home.parent.glob(f"{pattern}/projctl-*.dist-info")
    ]
    return found[0].removeprefix("projctl-").removesuffix(".dist-info") if found else None


def agent(scope: Scope) -> Agent:
    """The agent and its helper."""
    units = systemctl.show(
        scope, [agentunits.SERVICE, _HELPER], ("Id", "LoadState", "ActiveState", "ExecStart")
    )
    shown = {unit.get("Id"): unit for unit in units}
    own, helper = shown.get(agentunits.SERVICE, {}), shown.get(_HELPER, {})
    program = re.search(r"path=([^ ;]+)", own.get("ExecStart", ""))
    health = agentlink.health(scope)
    told = health or {}
    alive = helper.get("ActiveState") == "active" and told.get("helper") is not False
    reached: Helper = "reached" if alive else "silent"
    return Agent(
        installed=own.get("LoadState") == "loaded",
        active=own.get("ActiveState", "unknown"),
        answers=health is not None,
        journal=told.get("journal") is not False,
        version=told.get("agent_version") or (_version_of(Path(program[1])) if program else None),
        polkit=_POLKIT.exists(),
        rule=_has_rule(),
        helper=reached if helper.get("LoadState") == "loaded" else "absent",
    )


def _has_rule() -> bool | None:
    """Whether polkit has our rule; None where its directory is closed to us."""
    if any((place / "50-projctl-agent.rules").exists() for place in _RULES if os.access(place, os.X_OK)):
        return True
    return None if any(place.exists() and not os.access(place, os.X_OK) for place in _RULES) else False
