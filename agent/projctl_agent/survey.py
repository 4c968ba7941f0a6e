"""What state each instance is in, out of the states of its units; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl_agent.names import instance_of_service, instance_of_socket

if TYPE_CHECKING:
    from projctl_agent.bus import UnitRow

_STATES = {
    "activating": "starting",
    "active": "running",
    "reloading": "running",
    "deactivating": "stopping",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Survey:
    """The state of every instance by its name, and of those that failed the unit that did."""

    states: dict[str, str]
    failed: dict[str, str]


def survey(rows: list[UnitRow]) -> Survey:
    """The state of each instance out of its units: the service's, else whether a socket listens."""
    listening: dict[str, bool] = {}
    fronts: dict[str, str] = {}
    backends: dict[str, str] = {}
    failed: dict[str, str] = {}
    closed: dict[str, str] = {}
    for row in rows:
        if instance := instance_of_socket(row.name):
            listening[instance] = listening.get(instance, False) or row.active_state == "active"
            if row.active_state == "failed":
                closed[instance] = row.name
        elif (named := instance_of_service(row.name)) and (state := _service_state(row)):
            (backends if named[1] else fronts)[named[0]] = state
            # Where both failed, the server behind the proxy is what did.
            if state == "failed" and (named[1] or named[0] not in failed):
                failed[named[0]] = row.name
    states = {
        name: _state(fronts.get(name), backends.get(name), listens=listening.get(name, False))
        for name in listening | fronts
    }
    # Nothing starts a project whose socket failed, so that this is what to tell.
    states |= dict.fromkeys(closed, "failed")
    failed |= closed
    return Survey(states, {name: unit for name, unit in failed.items() if states.get(name) == "failed"})


def _service_state(row: UnitRow) -> str | None:
    # A service in back-off counts as failed: until it is over nothing answers.
    return "failed" if row.sub_state.startswith("auto-restart") else _STATES.get(row.active_state)


def _state(front: str | None, backend: str | None, *, listens: bool) -> str:
    """While a proxy waits for its server, or does not run because that failed, the server's state counts."""
    if front not in {"running", "stopping"} and backend in {"starting", "failed"}:
        return backend
    return front or ("asleep" if listens else "down")
