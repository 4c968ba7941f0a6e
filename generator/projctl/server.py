"""One server of a project: every value that its units are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from projctl import __version__, adapters, unitfile
from projctl.addresses import Address
from projctl.names import backend_unit, instances, service_unit, shard, socket_unit, warm_unit
from projctl.ports import BACKEND, key_for
from projctl.shellwords import Variable, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from projctl.listen import Listen
    from projctl.machine import Facts
    from projctl.model import Project
    from projctl.shellwords import Word

#: Where a server in a network of its own listens when its socket has no port.
_PRIVATE_PORT = 8000
_INSTANCE_VARIABLES = ("NODE_APP_INSTANCE", "PM2_INSTANCE_ID", "PROJCTL_INSTANCE")
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108
_THREAD_VARIABLES = (
    "BLIS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What the units are rendered for: the systemd version and mode, and programs of that machine.

    `python` runs the readiness probe `ready` in front of a proxied server; `overrides` is searched for
    templates before ours.
    """

    systemd: int
    user_mode: bool
    python: str
    ready: str
    proxyd: str = "/usr/lib/systemd/systemd-socket-proxyd"
    overrides: Path | None = None

    @property
    def runtime(self) -> str:
        """The directory of what runs inside projects."""
        return self.ready.rpartition("/")[0]


@dataclass(frozen=True)
class Socket:
    """One socket unit of a project, ready to be written; `shared`: several instances are behind its port."""

    name: str
    unit: str
    address: Address
    shared: bool
    listen: Listen


@dataclass(frozen=True)
class Binds:
    """What a sandbox that hides homes and temporary files must let a project see again."""

    home: bool = False
    root: bool = False
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    in_place: tuple[str, ...] = ()


def number_text(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


class Server:
    """One server of a project (there are several when it has instances), and what its units are made of."""

    def __init__(
        self,
        project: Project,
        number: int,
        addresses: Mapping[tuple[str, str], Address],
        facts: Facts,
        target: Target,
        origin: str,
    ) -> None:
        self.project = project
        self._number = number
        self._facts = facts
        self._target = target
        self._origin = origin
        self._adapter = adapters.choose(project)
        self._name = instances(project.name, project.instances)[number]
        # The one that the others follow must be open while the project sleeps.
        leader = next((name for name, listen in project.listen.items() if listen.wakes), None)
        self._sockets = [self._socket(addresses, name, first=name == leader) for name in project.listen]
        self._backend = self._private(addresses) if self._adapter.proxied else None

    def _socket(self, addresses: Mapping[tuple[str, str], Address], name: str, *, first: bool) -> Socket:
        key = key_for(addresses, self.project.name, name, self._number)
        address, listen = addresses[key], self.project.listen[name]
        shared = self.project.instances > 1 and "@" not in key[1]
        unit = socket_unit(self._name, name, first=first)
        return Socket(name, unit, address, shared, listen)

    def _private(self, addresses: Mapping[tuple[str, str], Address]) -> Address:
        """Where the server behind the proxy listens: in a network of its own on the very port."""
        if self.project.network == "private":
            return Address("tcp", "127.0.0.1", self._sockets[0].address.port or _PRIVATE_PORT)
        return addresses[key_for(addresses, self.project.name, BACKEND, self._number)]

    def templates(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Each unit with its template and the values that only it has."""
        for socket in self._sockets:
            yield socket.unit, "project.socket.j2", {"socket": socket}
        if self._backend is None:
            yield service_unit(self._name), "project.service.j2", {}
        else:
            yield service_unit(self._name), "proxy.service.j2", {}
            yield backend_unit(self._name), "backend.service.j2", {}
        if self.project.warm.when == "window":
            yield from self._window()

    def _window(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        warm = self.project.warm
        for part, calendar in (("warm", warm.begins), ("cool", warm.ends)):
            yield warm_unit(self._name, part, "target"), f"{part}.target.j2", {}
            window = {"kind": part, "calendar": calendar}
            yield warm_unit(self._name, part, "timer"), "warm.timer.j2", {"window": window}

    def values(self) -> dict[str, Any]:
        """What the templates are rendered with."""
        words = (literal(self._facts.program), *self.project.run.words[1:])
        command = self._adapter.command(words, len(self._sockets))
        return {
            "adapter": self._adapter,
            "backend": backend_unit(self._name),
            "backend_address": self._backend.display if self._backend else "",
            "binds": binds(self.project, self._facts, self._target, self._ours()),
            "command": self._adapter.launched(command, self._facts.interpreter, self._target.runtime),
            "environment": self._variables(),
            "instance": self._name,
            "leader": socket_unit(self._name, "", first=True),
            "marker": unitfile.marker(__version__, self._origin),
            "number": self._number,
            "origin": self._origin.rstrip("\\").strip(),
            "project": self.project,
            "ready": self._probe(),
            "service": service_unit(self._name),
            "slice": shard(self.project.name),
            "sockets": [socket.unit for socket in self._sockets],
            "counting": [socket.unit for socket in self._sockets if socket.listen.counts_as_activity],
            "target": self._target,
            "warm_unit": partial(warm_unit, self._name),
        }

    def _ours(self) -> set[str]:
        """The files of ours that run inside the project's sandbox."""
        probe = {self._target.python, self._target.ready} if self._probe() else set()
        launcher = self._adapter.launcher
        return probe | ({f"{self._target.runtime}/{launcher}"} if launcher else set())

    def _variables(self) -> dict[str, str]:
        address = self._backend or self._sockets[0].address
        variables = {
            "PROJCTL_PROJECT": self.project.name,
            "PROJCTL_STOP_TIMEOUT": number_text(self.project.stop_timeout),
        }
        if address.port:
            variables |= {"PORT": str(address.port), "HOST": address.host or "::"}
        variables |= port_variables((socket.name, socket.address.port) for socket in self._sockets)
        if self.project.user == "dynamic":
            # The one place it may write to; without it, HOME is the root directory.
            variables["HOME"] = f"/var/lib/projctl-{self._name}"
        variables |= dict.fromkeys(_INSTANCE_VARIABLES, str(self._number))
        if self.project.limits.threads:
            variables |= dict.fromkeys(_THREAD_VARIABLES, str(self.project.limits.threads))
        own = {} if self._adapter.proxied else self._adapter.environment(len(self._sockets))
        return {**variables, **own, **self.project.env}

    def _probe(self) -> tuple[Word, ...]:
        """The command that waits until the server answers; empty when nobody wants to know."""
        health = self.project.health
        if health is None and self._backend is None:
            return ()
        start = [self._target.python, "-I", "-S", self._target.ready, number_text(self.project.start_timeout)]
        if health is not None and health.words:
            return (*map(literal, [*start, "command"]), *health.words)
        what = "tcp" if health is None or health.path is None else "http"
        path = [] if health is None or health.path is None else [health.path]
        return (*map(literal, [*start, what]), self._reachable(), *map(literal, path))

    def _reachable(self) -> Word:
        """The address to ask; a socket's port from the variable that also tells when it is another for a while."""
        if self._backend:
            return literal(_reachable(self._backend))
        first = self._sockets[0]
        if first.address.port is None:
            return literal(_reachable(first.address))
        return (f"{_reachable(first.address).rpartition(':')[0]}:", Variable(port_variable(first.name)))


def port_variable(socket: str) -> str:
    """The variable that tells the port of the socket of this name."""
    return f"PORT_{socket.upper().replace('-', '_')}"


def port_variables(sockets: Iterable[tuple[str, int | None]]) -> dict[str, str]:
    """The port of every TCP socket, by variable."""
    return {port_variable(name): str(port) for name, port in sockets if port}


def _reachable(address: Address) -> str:
    """An address to connect to, for a socket that may listen on all of them."""
    if address.kind == "unix":
        return str(address.path)
    if address.host in (None, "::", "0.0.0.0"):  # noqa: S104 - compared, not bound
        return f"127.0.0.1:{address.port}" if address.host != "::" else f"[::1]:{address.port}"
    return address.listen_stream


def binds(project: Project, facts: Facts, target: Target, ours: set[str]) -> Binds:
    """The paths a project's sandbox must let through: its own directory, its interpreter's, and no other."""
    dynamic = project.user == "dynamic"
    if target.user_mode or not (dynamic or project.sandbox == "strict"):
        return Binds()
    needed = {*facts.interpreter_roots, facts.program, *ours}
    readable = sorted(
        path for path in needed if _below(path, _HOMES + _TEMPORARY) and not _below(path, (project.path,))
    )
    hidden = _below(project.path, _HOMES + _TEMPORARY)
    readable = [
        path for path in readable if not _below(path, tuple(other for other in readable if other != path))
    ]
    return Binds(
        home=any(_below(path, _HOMES) for path in (project.path, *readable)),
        root=any(_below(path, ("/root",)) for path in (project.path, *readable)),
        writable=(project.path,) if hidden and not dynamic else (),
        readable=((project.path,) if hidden and dynamic else ()) + tuple(readable),
        in_place=(project.path,) if not hidden and not dynamic else (),
    )


def _below(path: str, directories: tuple[str, ...]) -> bool:
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)
