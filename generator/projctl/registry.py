"""Which project has which port, and which it had: the port registry as data and as text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING

from projctl.diagnostics import ProjctlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VERSION = 1
#: How many released ports are remembered; the oldest are forgotten first.
HISTORY_SIZE = 1000

#: Project and socket; the private port of a server behind a proxy has the socket name `backend`.
Key = tuple[str, str]

_FIELDS = ("project", "socket", "host", "port", "since")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}(@[0-9]{1,3})?")


class DamagedError(ProjctlError):
    """The text is no registry, or no longer a whole one."""


@dataclass(frozen=True)
class Entry:
    """A port, its address (None: all) and the UTC time in ISO 8601 since when it is given, or released."""

    port: int
    host: str | None
    since: str


@dataclass(frozen=True)
class Registry:
    """The ports that are given, and the last one that each socket gave back."""

    entries: Mapping[Key, Entry] = field(default_factory=dict)
    history: Mapping[Key, Entry] = field(default_factory=dict)

    def record(self, given: Mapping[Key, tuple[str | None, int]], now: datetime) -> Registry:
        """The registry in which exactly `given` (host and port by key) is held; the rest becomes history."""
        stamp = timestamp(now)
        entries = {key: self._entry(key, host, port, stamp) for key, (host, port) in given.items()}
        history = dict(self.history)
        for key, old in self.entries.items():
            if key not in entries or entries[key].port != old.port:
                history[key] = Entry(old.port, old.host, stamp)
        past = [(k, e) for k, e in history.items() if k not in entries or entries[k].port != e.port]
        newest = sorted(past, key=lambda item: (item[1].since, item[0]), reverse=True)
        return Registry(entries, dict(newest[:HISTORY_SIZE]))

    def without(self, project: str) -> Registry:
        """The registry that knows nothing of the project."""
        return Registry(
            {key: entry for key, entry in self.entries.items() if key[0] != project},
            {key: entry for key, entry in self.history.items() if key[0] != project},
        )

    def _entry(self, key: Key, host: str | None, port: int, stamp: str) -> Entry:
        old = self.entries.get(key)
        return old if old and (old.host, old.port) == (host, port) else Entry(port, host, stamp)


def timestamp(now: datetime) -> str:
    """The time in UTC, to the second, such that texts sort as the times do."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dumps(registry: Registry) -> str:
    """The registry as JSON, one port a line, sorted, so that two versions compare well."""
    given, released = _rows(registry.entries), _rows(registry.history)
    return f'{{\n"version": {VERSION},\n"given": [{given}],\n"released": [{released}]\n}}\n'


def _rows(entries: Mapping[Key, Entry]) -> str:
    rows = [
        json.dumps(dict(zip(_FIELDS, (*key, entry.host, entry.port, entry.since), strict=True)))
        for key, entry in sorted(entries.items())
    ]
    return "\n  " + ",\n  ".join(rows) + "\n" if rows else ""


def loads(text: str, name: str = "the port registry") -> Registry:
    """The registry of such a text. `name` is its file.

    Raises DamagedError that says what is wrong in it, and ProjctlError for one of a newer projctl.
    """
    try:
        return _registry(json.loads(text, object_pairs_hook=_without_repeats), name)
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        reason = str(error)
    raise DamagedError(f"cannot read {name}: {reason}")


def salvage(text: str) -> Registry:
    """Every row of a damaged text that can still be read as a whole; of two for one socket the first."""
    found: tuple[dict[Key, Entry], dict[Key, Entry]] = ({}, {})
    heading = re.search(r'"released"\s*:', text)
    for match in re.finditer(r"\{[^{}]*\}", text):
        try:
            key, entry = _entry_of(json.loads(match[0], object_pairs_hook=_without_repeats), "row")
        except (ValueError, RecursionError):
            continue
        found[bool(heading and heading.end() < match.start())].setdefault(key, entry)
    return Registry(*found)


def _without_repeats(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'repeated key "{key}"')
        found[key] = value
    return found


def _registry(data: object, name: str) -> Registry:
    if not isinstance(data, dict):
        raise ValueError("must be a JSON object")
    version = data.get("version")
    if type(version) is not int or version < 1:
        raise ValueError(f'"version" must be {VERSION}')
    if version > VERSION:
        raise ProjctlError(
            f"cannot read {name}: version {version} is newer than this projctl knows, which is {VERSION}",
            hint="use the projctl that wrote it, or move it away: the ports of installed projects are kept",
        )
    _check_keys(data, ("version", "given", "released"), "the file")
    return Registry(_entries(data["given"], "given"), _entries(data["released"], "released"))


def _check_keys(data: Mapping[str, object], keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if key not in data:
            raise ValueError(f'{where} must have the key "{key}"')
    for key in data:
        if key not in keys:
            raise ValueError(f'{where} has the unknown key "{key}", must be one of: {", ".join(keys)}')


def _entries(rows: object, where: str) -> dict[Key, Entry]:
    if not isinstance(rows, list):
        raise ValueError(f'"{where}" must be a list')
    found: dict[Key, Entry] = {}
    for number, row in enumerate(rows):
        key, entry = _entry_of(row, f"{where}[{number}]")
        if key in found:
            raise ValueError(f'{where}[{number}] repeats socket "{key[1]}" of project "{key[0]}"')
        found[key] = entry
    return found


def _entry_of(row: object, where: str) -> tuple[Key, Entry]:
    if not isinstance(row, dict):
        raise ValueError(f"{where} must be an object")
    _check_keys(row, _FIELDS, where)
    for key in ("project", "socket"):
        if not isinstance(row[key], str) or not _NAME.fullmatch(row[key]):
            raise ValueError(f"{where}.{key} must be a name of lower-case letters, digits and hyphens")
    if type(row["port"]) is not int or not 1 <= row["port"] <= 65535:
        raise ValueError(f"{where}.port must be a port from 1 to 65535")
    entry = Entry(row["port"], _host(row["host"], where), _since(row["since"], where))
    return (row["project"], row["socket"]), entry


def _host(value: object, where: str) -> str | None:
    if value is None:
        return None
    try:
        return str(ip_address(value)) if isinstance(value, str) else _refuse_host(where)
    except ValueError:
        return _refuse_host(where)


def _refuse_host(where: str) -> str:
    raise ValueError(f"{where}.host must be an IP address or null") from None


def _since(value: object, where: str) -> str:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment and moment.tzinfo:
            return timestamp(moment)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{where}.since must be a time with its zone, such as 2026-01-31T12:00:00Z")
