"""Wants, registries and runs of the assignment, for the tests of ports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from projctl.diagnostics import Mark, Problem
from projctl.listen import parse_listen
from projctl.ports import Want, assign
from projctl.registry import Entry, Key, Registry

if TYPE_CHECKING:
    from projctl.addresses import Address

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = datetime(2026, 2, 1, 12, tzinfo=UTC)
RANGES = ((5001, 5003), (6001, 6002))
EPHEMERAL = (32768, 60999)
HOSTS = (None, "::", "::1", "0.0.0.0", "127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1")


def want(project: str, listen: object = "auto", line: int | None = None, **more: object) -> Want:
    mark = Mark("shop.yaml", line, 5) if line else None
    fields = {"socket": "http", "ranges": RANGES, "path": f"$.projects.{project}.listen", **more}
    return Want(project, listen=parse_listen(listen), mark=mark, **fields)  # type: ignore[arg-type]


def given_ports(addresses: dict[Key, Address]) -> dict[str, int | None]:
    return {project: address.port for (project, _), address in addresses.items()}


def run(
    *wanted: Want,
    registry: Registry | None = None,
    taken: dict[tuple[str | None, int], str] | None = None,
    **more: object,
) -> tuple[dict[str, int | None], Registry, list[Problem]]:
    options = {"ephemeral": EPHEMERAL, "now": NOW, **more}
    addresses, after, problems = assign(wanted, registry or Registry(), taken or {}, **options)  # type: ignore[arg-type]
    return given_ports(addresses), after, problems


def held(**ports: int) -> Registry:
    return Registry(
        {(name, "http"): Entry(port, None, "2026-01-01T00:00:00Z") for name, port in ports.items()}
    )


def released(registry: Registry) -> Registry:
    return Registry({}, registry.entries)


def only(problems: list[Problem]) -> str:
    assert len(problems) == 1
    return str(problems[0])
