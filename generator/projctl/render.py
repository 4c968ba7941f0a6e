"""Model → unit text, by systemd version; the templates in `units/` say what, this says with which values."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from projctl import __version__, adapters, unitfile
from projctl.diagnostics import Problem, ProjctlError
from projctl.names import SLICE, TARGET, backend_unit, service_unit, shard, socket_unit
from projctl.shellwords import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projctl.addresses import Address
    from projctl.machine import Facts
    from projctl.model import Fleet, Project

_STATIC = (TARGET, SLICE)
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


@dataclass(frozen=True)
class Socket:
    """One socket unit of a project, ready to be written."""

    name: str
    unit: str
    kind: str
    host: str | None
    port: int | None
    listen_stream: str


@dataclass(frozen=True)
class Binds:
    """What a sandbox that hides homes and temporary files must let a project see again."""

    home: bool = False
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    in_place: tuple[str, ...] = ()


def units_dir() -> Path:
    """Where our templates lie: inside the installed package, or beside `generator/` in a checkout."""
    package = Path(__file__).parent
    return next(path for path in (package / "units", package.parents[1] / "units") if path.is_dir())


def units(
    fleet: Fleet,
    addresses: Mapping[tuple[str, str], Address],
    facts: Mapping[str, Facts],
    target: Target,
    origins: Mapping[str, str],
) -> dict[str, str]:
    """The text of every unit, by file name.

    `addresses` is by (project, socket), private ports as `backend`; `origins` is FILE:LINE by project.
    """
    environment = _environment(target)
    rendered: dict[str, str] = {}
    for project in fleet.projects.values():
        origin = origins.get(project.name, "a manifest")
        renderer = _Renderer(environment, project, addresses, facts[project.name], target, origin)
        try:
            rendered |= renderer.units()
        except ValueError as error:
            raise ProjctlError(
                Problem(str(error), fleet.mark(project.name), f"$.projects.{project.name}")
            ) from None
        except jinja2.TemplateError as error:
            raise ProjctlError(f"cannot use the template {_place(error)}: {error}") from None
    if rendered:
        rendered |= {name: _static(name) for name in _STATIC}
    return rendered


def _place(error: jinja2.TemplateError) -> str:
    """The template and line that an error of a template names, or was raised in."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.endswith(".j2")
    ]
    return frames[-1].f_code.co_filename if frames else "of a unit"


def _static(name: str) -> str:
    return f"{unitfile.marker(__version__, 'its own files')}\n{(units_dir() / name).read_text()}"


def _environment(target: Target) -> jinja2.Environment:
    directories = ([target.overrides] if target.overrides else []) + [units_dir()]
    environment = jinja2.Environment(  # noqa: S701 - unit text, quoted by directive below
        loader=jinja2.FileSystemLoader(directories),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "assign": unitfile.assignment,
        "exec": unitfile.exec_line,
        "number": _number,
        "path": unitfile.path_word,
        "rest": unitfile.rest_of_line,
        "seconds": lambda value: "infinity" if value is None else _number(value),
    }
    return environment


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


class _Renderer:
    def __init__(
        self,
        environment: jinja2.Environment,
        project: Project,
        addresses: Mapping[tuple[str, str], Address],
        facts: Facts,
        target: Target,
        origin: str,
    ) -> None:
        self._environment = environment
        self._project = project
        self._facts = facts
        self._target = target
        self._adapter = adapters.choose(project)
        self._sockets = [
            _socket(project.name, name, addresses[project.name, name], first=i == 0)
            for i, name in enumerate(project.listen)
        ]
        self._backend = addresses.get((project.name, "backend"))
        self._origin = origin

    def units(self) -> dict[str, str]:
        name = self._project.name
        rendered = {socket.unit: self._render("project.socket.j2", socket=socket) for socket in self._sockets}
        if not self._adapter.proxied:
            return rendered | {service_unit(name): self._render("project.service.j2")}
        rendered[service_unit(name)] = self._render("proxy.service.j2")
        return rendered | {backend_unit(name): self._render("backend.service.j2")}

    def _render(self, template: str, **more: Any) -> str:  # noqa: ANN401 - template values
        words = (literal(self._facts.program), *self._project.run.words[1:])
        values = {
            "adapter": self._adapter,
            "backend": backend_unit(self._project.name),
            "binds": binds(self._project, self._facts, self._target, self._adapter.proxied),
            "command": self._adapter.command(words, len(self._sockets)),
            "environment": self._variables(),
            "ready": self._probe() if self._backend else (),
            "backend_address": self._backend.display if self._backend else "",
            "marker": unitfile.marker(__version__, self._origin),
            "origin": self._origin.rstrip("\\").strip(),
            "project": self._project,
            "slice": shard(self._project.name),
            "sockets": [socket.unit for socket in self._sockets],
            "target": self._target,
        }
        return self._environment.get_template(template).render(values | more)

    def _variables(self) -> dict[str, str]:
        port = self._backend.port if self._backend else self._sockets[0].port
        host = self._backend.host if self._backend else self._sockets[0].host
        variables = {"PROJCTL_PROJECT": self._project.name}
        if port:
            variables |= {"PORT": str(port), "HOST": host or "::"}
        if self._project.limits.threads:
            variables |= dict.fromkeys(_THREAD_VARIABLES, str(self._project.limits.threads))
        own = {} if self._adapter.proxied else self._adapter.environment(len(self._sockets))
        return {**variables, **own, **self._project.env}

    def _probe(self) -> tuple[tuple[str], ...]:
        assert self._backend is not None  # noqa: S101 - narrows the type
        seconds = _number(self._project.start_timeout)
        words = (
            self._target.python,
            "-I",
            "-S",
            self._target.ready,
            self._backend.host,
            self._backend.port,
            seconds,
        )
        return tuple((str(word),) for word in words)


def _socket(project: str, name: str, address: Address, *, first: bool) -> Socket:
    return Socket(
        name=name,
        unit=socket_unit(project, name, first=first),
        kind=address.kind,
        host=address.host,
        port=address.port,
        listen_stream=address.listen_stream,
    )


def binds(project: Project, facts: Facts, target: Target, proxied: bool) -> Binds:
    """The paths a project's sandbox must let through: its own directory, its interpreter's, and no other."""
    dynamic = project.user == "dynamic"
    if target.user_mode or not (dynamic or project.sandbox == "strict"):
        return Binds()
    needed = {*facts.interpreter_roots, facts.program}
    if proxied:
        needed |= {target.python, target.ready}
    readable = sorted(
        path for path in needed if _below(path, _HOMES + _TEMPORARY) and not _below(path, (project.path,))
    )
    hidden = _below(project.path, _HOMES + _TEMPORARY)
    readable = [
        path for path in readable if not _below(path, tuple(other for other in readable if other != path))
    ]
    return Binds(
        home=any(_below(path, _HOMES) for path in (project.path, *readable)),
        writable=(project.path,) if hidden and not dynamic else (),
        readable=((project.path,) if hidden and dynamic else ()) + tuple(readable),
        in_place=(project.path,) if not hidden and not dynamic else (),
    )


def _below(path: str, directories: tuple[str, ...]) -> bool:
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)
