"""The agent's own files: which there are, where they go, and what a Python environment of its own changes."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from projctl import __version__, unitfile
from projctl.diagnostics import ProjctlError

if TYPE_CHECKING:
    from projctl.scope import Scope

SERVICE = "projctl-agent.service"
#: What takes privileges; in a user's own manager the agent does it itself.
HELPER = "projctl-agent-helper.service"
_SOCKETS = ("projctl-agent.socket", "projctl-agent-metrics.socket")
#: Holds up the starts of servers that fail again and again, for systemd before 254.
_PAUSE = "projctl-agent-pause@.service"
#: What names another program than the packaged one.
_DROP_IN = "10-program.conf"
_HELPER_SOCKET = "projctl-agent-helper.socket"
_PACKAGED, _PACKAGED_HELPER = "/usr/bin/projctl-agent", "/usr/bin/projctl-agent-helper"
_PACKAGED_UNITS = Path("/usr/lib/systemd/system")
_LIBRARIES = ("projctl_agent", "dbus_fast", "prometheus_client", "psutil", "systemd")
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - what the agent's sandbox hides


def sockets(scope: Scope) -> tuple[str, ...]:
    """The sockets of the agent, and of its helper where there is one."""
    return _SOCKETS if scope.user else (*_SOCKETS, _HELPER_SOCKET)


def services(scope: Scope) -> tuple[str, ...]:
    """The services of the agent."""
    return (SERVICE,) if scope.user else (SERVICE, HELPER)


def executable() -> Path:
    """The agent's program beside this Python, else on PATH; raises when it or its libraries are missing."""
    if missing := [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]:
        raise ProjctlError(
            f"cannot use projctl-agent: the Python modules {', '.join(missing)} are missing",
            hint='install projctl with its extra "agent": projctl[agent]',
        )
    beside = Path(sys.executable).with_name("projctl-agent")
    found = beside if beside.exists() else Path(shutil.which("projctl-agent") or "")
    if not found.is_file():
        raise ProjctlError(f"cannot find projctl-agent beside {sys.executable} or on PATH")
    return found.absolute()


def packaged(scope: Scope) -> Path | None:
    """The service that a package of the distribution has installed, which needs no verb of ours."""
    path = _PACKAGED_UNITS / SERVICE
    return path if not scope.user and path.exists() else None


def files(scope: Scope, units: Path, program: Path | None = None) -> dict[Path, str]:
    """Every file of the agent with its text; `units` holds the shipped ones.

    The helper, the catalog, the user and the polkit rule belong to the system's agent only.
    """
    source = "projctl-agent-user.service" if scope.user else SERVICE
    found = {scope.units / SERVICE: _marked((units / source).read_text())}
    found |= {scope.units / name: _marked((units / name).read_text()) for name in (*sockets(scope), _PAUSE)}
    if not scope.user:
        found[scope.units / HELPER] = _marked((units / HELPER).read_text())
        found |= {path: _marked((units / name).read_text(), path) for name, path in _elsewhere().items()}
    if program is not None and str(program) != _PACKAGED:
        for unit in services(scope):
            text = _drop_in(found[scope.units / unit], program, user=scope.user)
            found[scope.units / f"{unit}.d/{_DROP_IN}"] = _marked(text)
    return found


def places(scope: Scope) -> list[Path]:
    """Where files of an installed agent lie, whichever copy of projctl installed it."""
    names = [*services(scope), *sockets(scope), _PAUSE, *(f"{unit}.d/{_DROP_IN}" for unit in services(scope))]
    return [*(scope.units / name for name in names), *([] if scope.user else _elsewhere().values())]


def is_ours(text: str) -> bool:
    """Whether `projctl agent install` wrote a file with this text."""
    return unitfile.is_ours(text.replace("//", "#", 1))


def _elsewhere() -> dict[str, Path]:
    return {
        "projctl-agent.catalog": Path("/usr/local/lib/systemd/catalog/projctl-agent.catalog"),
        "projctl-agent.rules": Path("/etc/polkit-1/rules.d/50-projctl-agent.rules"),
        "projctl-agent.sysusers": Path("/etc/sysusers.d/projctl-agent.conf"),
    }


def _marked(text: str, path: Path | None = None) -> str:
    line = unitfile.marker(__version__, "its own files").replace("projctl apply", "projctl agent install")
    comment = line.replace("#", "//", 1) if path is not None and path.suffix == ".rules" else line
    return f"{comment}\n{text}"


def _drop_in(unit: str, program: Path, *, user: bool) -> str:
    """Other programs than a unit names, and their Python environment made visible where the sandbox hides it."""
    commands = {_PACKAGED: [str(program)], _PACKAGED_HELPER: [sys.executable, "-m", "projctl_agent.helper"]}
    lines = ["[Service]"]
    for key, path, rest in re.findall(r"^(Exec[A-Za-z]+)=(\S+)(.*)$", unit, re.MULTILINE):
        words = [*commands[path], *rest.split()]
        lines += [f"{key}=", f"{key}={unitfile.exec_line((word,) for word in words)}"]
    needed = [] if user else [root for root in _environment() if _is_hidden(root)]
    if any(not root.startswith(("/tmp", "/var/tmp")) for root in needed):  # noqa: S108
        # From systemd 253 on the empty /root alone would be closed to the agent's user.
        lines += ["ProtectHome=tmpfs", "TemporaryFileSystem=/root:ro,mode=0755"]
    lines += [f"BindReadOnlyPaths={unitfile.path_word(root)}" for root in needed]
    return "\n".join(lines) + "\n"


def _environment() -> list[str]:
    """The directories that this Python and the agent's packages live in."""
    import projctl_agent

    package = Path(projctl_agent.__file__ or "").parents[1]
    interpreter = Path(sys.executable).resolve().parents[1]
    places = {Path(sys.prefix), Path(sys.base_prefix), interpreter, package}
    return sorted(str(place.absolute()) for place in places)


def _is_hidden(path: str) -> bool:
    return any(path == directory or path.startswith(f"{directory}/") for directory in _HIDDEN)
