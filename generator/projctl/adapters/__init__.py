"""One file per kind of server; each defines ADAPTER, and a new file is all that a new server needs."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from projctl.adapters.adapter import Adapter

if TYPE_CHECKING:
    from projctl.model import Project

__all__ = ["Adapter", "choose", "choose_or_none", "every"]


@cache
def every() -> dict[str, Adapter]:
    """All adapters by name."""
    modules = (
        importlib.import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__)
    )
    found = (module.ADAPTER for module in modules if hasattr(module, "ADAPTER"))
    return {adapter.name: adapter for adapter in sorted(found, key=lambda adapter: adapter.name)}


def choose_or_none(project: Project) -> Adapter | None:
    """As choose, but None for a `server:` that nothing is known of."""
    return None if project.server is not None and project.server not in every() else choose(project)


def choose(project: Project) -> Adapter:
    """The adapter that `server:` names, else the one that recognises `run`, else `proxy`.

    Raises KeyError for a `server:` that nothing is known of.
    """
    adapters = every()
    if project.server is not None:
        return adapters[project.server]
    for adapter in adapters.values():
        if adapter.recognises(project.run.words):
            return adapter
    return adapters["proxy"]
