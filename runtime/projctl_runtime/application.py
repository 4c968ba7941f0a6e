"""Finds an application by its name and makes it an ASGI one."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Literal, cast

from projctl_runtime.failure import RunnerError, reason
from projctl_runtime.wsgi import Bridge, WSGIApplication

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Interface = Literal["auto", "asgi", "wsgi"]

_NAME = re.compile(r"(?P<module>[\w.]+):(?P<attribute>[\w.]+)(?P<call>\(\))?")


def load(name: str) -> object:
    """The object that `MODULE:ATTRIBUTE` names, or what `MODULE:FACTORY()` returns.

    Raises RunnerError when it cannot be had, with the reason and where it arose in one line.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise RunnerError(f'must name an application as MODULE:APP or MODULE:FACTORY(), not "{name}"')
    module = _imported(name, found["module"])
    loaded: Any = module
    for step in found["attribute"].split("."):
        if not hasattr(loaded, step):
            raise RunnerError(f'cannot import the application "{name}": {found["module"]} has no "{step}"')
        loaded = getattr(loaded, step)
    return _made(name, loaded) if found["call"] else loaded


def _imported(name: str, module: str) -> object:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise RunnerError(
            f'cannot import the application "{name}": {reason(error)}{_place(error)}'
        ) from error


def _made(name: str, factory: Callable[[], object]) -> object:
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise RunnerError(f'cannot make the application "{name}": {reason(error)}{_place(error)}') from error


def _place(error: BaseException) -> str:
    """Where in the application's code an error arose; nothing when the module itself is missing."""
    if isinstance(error, SyntaxError):
        return ""  # its text names the place
    ours = (str(Path(__file__).parent), importlib.__file__ or "", "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def interface_of(application: object, name: str) -> Literal["asgi", "wsgi"]:
    """What an application speaks, told from how it is called; raises RunnerError where that does not tell."""
    if not callable(application):
        raise RunnerError(f'cannot serve "{name}": it must be callable, not {type(application).__name__}')
    call = application if inspect.isroutine(application) else type(application).__call__
    if inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(call):
        return "asgi"
    try:
        parameters = inspect.signature(application).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    needed = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    if len(needed) == 2:
        return "wsgi"
    if len(needed) == 3:
        return "asgi"
    raise RunnerError(
        f'cannot tell whether "{name}" is ASGI or WSGI: say it with --interface asgi or --interface wsgi'
    )


def as_asgi(application: object, name: str, interface: Interface, threads: int) -> ASGIApplication:
    """The application as ASGI; one that speaks WSGI is called in at most `threads` threads of its own."""
    spoken = interface_of(application, name) if interface == "auto" else interface
    if not callable(application):
        raise RunnerError(f'cannot serve "{name}": it must be callable, not {type(application).__name__}')
    if spoken == "wsgi":
        return Bridge(cast("WSGIApplication", application), threads)
    return cast("ASGIApplication", application)


def look_in(directory: str) -> None:
    """Let modules of this directory be imported first, as `python -m` does."""
    if directory not in sys.path:
        sys.path.insert(0, directory)
