"""Calendar events in manifests, held against the systemd that will keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import systemctl
from projctl.diagnostics import Problem

if TYPE_CHECKING:
    from projctl.model import Fleet

_HINT = 'such as "Mon..Fri 08:00"; see: systemd-analyze calendar'


def problems(fleet: Fleet) -> list[Problem]:
    """A problem for each event that never comes, or is none; each is asked about once."""
    events = [
        (name, key, event)
        for name, project in fleet.projects.items()
        for key, event in (("from", project.warm.begins), ("until", project.warm.ends))
        if event
    ]
    errors = {event: systemctl.calendar_error(event) for event in sorted({event for *_, event in events})}
    return [
        Problem(error, fleet.mark(name, "warm", key), f"$.projects.{name}.warm.{key}", _HINT)
        for name, key, event in events
        if (error := errors[event])
    ]
