"""Model → unit text, by systemd version; the templates in `units/` say what, `server` with which values."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from projctl import __version__, unitfile
from projctl.diagnostics import Problem, ProjctlError, one_line
from projctl.names import SLICE, TARGET
from projctl.server import Server, number_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from projctl.addresses import Address
    from projctl.diagnostics import Mark
    from projctl.machine import Facts
    from projctl.model import Fleet
    from projctl.server import Target

_STATIC = (TARGET, SLICE)


def units_dir() -> Path:
    """Where our templates lie: inside a wheel, beside `generator/` in a checkout, or where packages put them."""
    package = Path(__file__).parent
    places = (package / "units", package.parents[1] / "units", Path("/usr/share/projctl/units"))
    return next(path for path in places if path.is_dir())


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
        for number in range(project.instances):
            server = Server(project, number, addresses, facts[project.name], target, origin)
            rendered |= _server_units(environment, server, fleet.mark(project.name))
    if rendered:
        rendered |= static()
    return rendered


def static() -> dict[str, str]:
    """The units that belong to no project."""
    return {name: _static(name) for name in _STATIC}


def _place(error: Exception) -> str | None:
    """The template and line that an error of a template names, or was raised in; None for all other errors."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.endswith(".j2")
    ]
    return frames[-1] if frames else None


def _static(name: str) -> str:
    return (
        f"{unitfile.marker(__version__, 'its own files')}\n{(units_dir() / name).read_text(encoding='utf-8')}"
    )


class _Templates(jinja2.FileSystemLoader):
    """Templates by name, an administrator's before ours."""

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        """As jinja2 has it, but says which file is no text."""
        try:
            return super().get_source(environment, template)
        except UnicodeDecodeError as error:
            file = next(path for path in (Path(d, template) for d in self.searchpath) if path.is_file())
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ProjctlError(f"cannot use the template {file}:{line}: it must be UTF-8 text") from None


def _environment(target: Target) -> jinja2.Environment:
    directories = ([target.overrides] if target.overrides else []) + [units_dir()]
    environment = jinja2.Environment(  # noqa: S701 - unit text, quoted by directive below
        loader=_Templates(directories),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "assign": unitfile.assignment,
        "exec": unitfile.exec_line,
        "number": number_text,
        "path": unitfile.path_word,
        "rest": unitfile.rest_of_line,
        "seconds": lambda value: "infinity" if value is None else number_text(value),
    }
    return environment


def _server_units(environment: jinja2.Environment, server: Server, mark: Mark | None) -> dict[str, str]:
    try:
        return {
            unit: environment.get_template(template).render(server.values() | more)
            for unit, template, more in server.templates()
        }
    except unitfile.UnitTextError as error:
        raise ProjctlError(Problem(str(error), mark, f"$.projects.{server.project.name}")) from None
    except ProjctlError:
        raise
    except Exception as error:
        # A template is a program: it may fail in any way.
        if not (place := _place(error) or (isinstance(error, jinja2.TemplateError) and "of a unit")):
            raise
        kind = "" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: "
        raise ProjctlError(f"cannot use the template {place}: {kind}{one_line(str(error))}") from None
