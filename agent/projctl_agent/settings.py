"""What a project's unit files say to the agent: the section [X-Projctl], drop-ins included."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from projctl_agent.names import instance_of_service, instance_of_socket

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECTION = "[X-Projctl]"
#: What systemd takes for white space, and for the end of a line; Python takes more.
_SPACE = " \t\n\r"
_LINE_END = re.compile("[\n\r\0]")
#: Where the unit says nothing: the share of a CPU that is work, the seconds that a silent connection counts as use.
_BUSY_SHARE, _HOLD_CONNECTIONS = 0.02, 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, None: never. `service` is the unit to stop, `primary` the one with the server.

    `instance` is NAME, or NAME@K where a project has several; `sockets` are those whose use counts; `busy_share`
    of one CPU counts as use, None: none does. It freezes after `idle_freeze`; `reclaim`: its memory goes then, too.
    `access_log` is how the lines of its access log read, None: it has none.
    """

    instance: str
    service: str
    primary: str
    sockets: tuple[str, ...]
    idle_stop: float | None
    min_uptime: float
    busy_share: float | None
    hold_connections: float | None
    idle_freeze: float | None = None
    reclaim: bool = False
    access_log: str | None = None


def parse_section(texts: Iterable[str]) -> dict[str, str]:
    """The keys of [X-Projctl] in unit file texts, in order: the later one wins, as with drop-ins."""
    keys: dict[str, str] = {}
    for text in texts:
        inside = False
        for line in _logical_lines(text):
            if line.startswith("["):
                inside = line == _SECTION
            elif inside and "=" in line:
                key, _, value = line.partition("=")
                keys[key.strip(_SPACE)] = value.strip(_SPACE)
    return keys


def _logical_lines(text: str) -> Iterable[str]:
    """Lines as systemd.syntax(7) joins them: a backslash continues, comments in between are left out."""
    joined = ""
    for line in _LINE_END.split(text):
        if line.lstrip(_SPACE).startswith(("#", ";")):
            continue
        joined += line
        if (len(joined) - len(joined.rstrip("\\"))) % 2:
            joined = f"{joined[:-1]} "
            continue
        if joined.strip(_SPACE):
            yield joined.strip(_SPACE)
        joined = ""
    if joined.strip(_SPACE):
        yield joined.strip(_SPACE)


def interpret(service: str, keys: dict[str, str]) -> Settings | None:
    """The settings for a service; None when it is no project's, or a backend (its proxy speaks for it).

    Raises ValueError with what is wrong for a value that is no number of seconds.
    """
    named = instance_of_service(service)
    if not named or not keys or named[1] or keys.get("Role") == "backend":
        return None
    instance, backend = named[0], keys.get("Backend", "")
    behind = keys.get("Role") == "proxy" and instance_of_service(backend) == (instance, True)
    named_sockets = keys.get("Sockets", f"projctl-{instance}.socket").split()
    return Settings(
        instance=instance,
        service=service,
        primary=backend if behind else service,
        sockets=tuple(unit for unit in named_sockets if instance_of_socket(unit)),
        idle_stop=None if keys.get("Warm") == "always" else _seconds(keys, "IdleStopSec", None),
        min_uptime=_seconds(keys, "MinUptimeSec", 0.0) or 0.0,
        busy_share=_share(keys, "BusyCpu", _BUSY_SHARE),
        hold_connections=_seconds(keys, "HoldConnectionsSec", _HOLD_CONNECTIONS),
        idle_freeze=_seconds(keys, "IdleFreezeSec", None),
        reclaim=keys.get("IdleReclaim") == "yes",
        access_log=keys.get("AccessLog", "").replace("%%", "%") or None,
    )


def _seconds(keys: dict[str, str], key: str, default: float | None) -> float | None:
    text = keys.get(key, "")
    if not text:
        return default
    if text == "infinity":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f'{key} must be a number of seconds or "infinity", "{text}" is neither')
    return seconds


def _share(keys: dict[str, str], key: str, default: float) -> float | None:
    text = keys.get(key, "")
    if not text or text == "infinity":
        return None if text else default
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)%", text, re.ASCII)
    if not match or float(match[1]) <= 0:
        raise ValueError(
            f'{key} must be a percentage of one CPU above zero or "infinity", "{text}" is neither'
        )
    return float(match[1]) / 100


def read_texts(paths: Iterable[str]) -> list[str]:
    """The texts of unit files; one that is gone or cannot be read counts as empty."""
    texts = []
    for path in paths:
        try:
            texts.append(Path(path).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            texts.append("")
    return texts
