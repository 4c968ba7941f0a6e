"""Model → unit text, by systemd version; the templates in `units/` say what, `server` with which values."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from projctl import __version__, unitfile
from projctl.diagnostics import Problem, ProjctlError
from projctl.names import SLICE, TARGET
from projctl.server import Server, number_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projctl.addresses import Address
    from projctl.diagnostics import Mark
    from projctl.machine import Facts
    from projctl.model import Fleet
    from projctl.server import Target

_STATIC = (TARGET, SLICE)


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
        for number in range(project.instances):
            server = Server(project, number, addresses, facts[project.name], target, origin)
            rendered |= _server_units(environment, server, fleet.mark(project.name))
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
    except ValueError as error:
        raise ProjctlError(Problem(str(error), mark, f"$.projects.{server.project.name}")) from None
    except jinja2.TemplateError as error:
        raise ProjctlError(f"cannot use the template {_place(error)}: {error}") from None
