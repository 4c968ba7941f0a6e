"""Runs inside a project: a server for several applications at once, readiness and holds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from projctl_runtime.awake import hold
    from projctl_runtime.failure import RunnerError
    from projctl_runtime.run import run_all
    from projctl_runtime.server import Server, ServerConfig
    from projctl_runtime.stopping import StopPolicy

__all__ = ["RunnerError", "Server", "ServerConfig", "StopPolicy", "hold", "run_all"]

_HOMES = {
    "RunnerError": "failure",
    "Server": "server",
    "ServerConfig": "server",
    "StopPolicy": "stopping",
    "hold": "awake",
    "run_all": "run",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module defines
    """The public names on first use, so that the helpers work where uvicorn is not installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
