"""How long the last start of each server took and in which phase, from what systemd remembers of it; pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from projctl.doctor.facts import Start

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What systemctl is asked for, with `--timestamp=us+utc`.
PROPERTIES = ("Id", "InactiveExitTimestamp", "ActiveEnterTimestamp", "ExecStart", "ExecStartPost")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,6}))? UTC")
_BEGAN = re.compile(r"start_time=\[([^]]*)\]")


def read(shown: Mapping[str, str], limit: float | None) -> Start | None:
    """The last start out of a unit's properties; None when it has not come to an end.

    Program start ends where the probe begins (ExecStartPost=), or without one where systemd holds it for started.
    """
    ordered, ready = (_moment(shown.get(name, "")) for name in PROPERTIES[1:3])
    began = _began(shown.get("ExecStart", ""))
    if not ordered or not ready or not began or ready < max(ordered, began):
        return None
    # systemd takes the time of the program's start a moment before its own.
    ordered = min(ordered, began)
    probe = _began(shown.get("ExecStartPost", ""))
    started = probe if probe and began <= probe <= ready else ready
    return Start(began - ordered, started - began, ready - started, limit)


def _began(commands: str) -> float | None:
    """When the first of a unit's commands began."""
    found = _BEGAN.search(commands)
    return _moment(found[1]) if found else None


def _moment(text: str) -> float | None:
    """Seconds since 1970; None for no time."""
    found = _TIME.search(text)
    if not found:
        return None
    whole = datetime.strptime(f"{found[1]} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp()
    return whole + int((found[2] or "0").ljust(6, "0")) / 1e6
