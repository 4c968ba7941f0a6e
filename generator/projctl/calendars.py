"""Calendar events in manifests, held against the systemd that will keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import systemctl
from projctl.diagnostics import Problem
from projctl.model import NO_HOURS

if TYPE_CHECKING:
    from projctl.model import Fleet

_HINT = 'such as "Mon..Fri 08:00"; see: systemd-analyze calendar'


def problems(fleet: Fleet) -> list[Problem]:
    """A problem for each event that never comes, or is none, and for hours without a length."""
    hours = {name: project.warm for name, project in fleet.projects.items() if project.warm.when == "window"}
    events = {event for warm in hours.values() for event in (warm.begins, warm.ends)}
    told = {event: systemctl.calendar(event) for event in sorted(events)}  # each is asked about once
    found = []
    for name, warm in hours.items():
        begins, ends = told[warm.begins], told[warm.ends]
        found += [
            Problem(error, fleet.mark(name, "warm", key), f"$.projects.{name}.warm.{key}", _HINT)
            for key, error in (("from", begins.error), ("until", ends.error))
            if error
        ]
        if begins.form == ends.form:
            found.append(Problem(NO_HOURS, fleet.mark(name, "warm"), f"$.projects.{name}.warm"))
    return found
