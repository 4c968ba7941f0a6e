"""What happened to a project, as programs see it: one object of JSON for each event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from projctl_agent.names import project_and_number

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A number or a text of an event or a run, by name; seconds and bytes say so in their names.
Figures = dict[str, float | int | str]
#: What tells the end of a run. Each run has one of them, and one `starting`.
ENDS = frozenset({"stopped", "crashed", "oom"})
#: Of a run that has ended already, by the agent and by systemd, who knows less: no events of their own, see `joining`.
FIGURES, USED = "figures", "used"
#: Reasons of ends that went wrong; `oom` is an event of its own, all others are plain stops.
_CRASHES = frozenset({"crash", "start_timeout", "stop_timeout", "health"})


#: Made once: there may be hundreds of thousands of lines.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Event(NamedTuple):
    """One event about an instance; `time` in seconds since 1970, empty texts where there is nothing to say.

    `cursor` is the place of its entry in the journal, where that is of use.
    """

    time: float
    event: str
    instance: str
    unit: str
    invocation: str
    reason: str
    figures: Mapping[str, float | int | str]
    cursor: str = ""

    @property
    def project(self) -> str:
        """The project of the instance."""
        return project_and_number(self.instance)[0]

    def as_json(self) -> dict[str, Any]:
        """The object that programs get; figures cannot take the place of the keys that each event has."""
        project, number = project_and_number(self.instance)
        common = {
            "time": self.time,
            "event": self.event,
            "project": project,
            "instance": None if number is None else int(number),
            "unit": self.unit,
            "invocation": self.invocation or None,
            "reason": self.reason or None,
        }
        return {**common, **self.figures, **common} if self.figures else common

    def line(self, **more: str) -> str:
        """One line of JSON, with its end."""
        return _ENCODER.encode(self.as_json() | more) + "\n"


def of_end(reason: str) -> str:
    """What a run's end for this reason is called."""
    return "oom" if reason == "oom" else "crashed" if reason in _CRASHES else "stopped"
