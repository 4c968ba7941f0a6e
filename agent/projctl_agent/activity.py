"""One look at a running project: its sockets' counters, connections and queues, its CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl_agent import cgroup, sockdiag
from projctl_agent.bus import SOCKET, UNIT, Bus
from projctl_agent.idle import Observation
from projctl_agent.sockdiag import Endpoint, Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What systemd says where a unit has no counter.
_NO_COUNTER = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Target:
    """Where to look: socket units, what they listen on, the ids of the control groups that they were opened in.

    `control_group` is the server's; `mixed` is whether it serves sockets that do not count, too.
    """

    sockets: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    paths: tuple[str, ...]
    control_group: str
    groups: frozenset[int] = frozenset()
    mixed: bool = False


async def find_target(bus: Bus, service: str, sockets: Sequence[str], control_group: str) -> Target:
    """The target of a project: asks each socket unit what it listens on, and which others start the service."""
    endpoints: list[Endpoint] = []
    paths: list[str] = []
    for listens in await bus.properties(*((unit, SOCKET, "Listen") for unit in sockets)):
        for kind, address in listens or ():
            if kind == "Stream" and address.startswith(("/", "@")):
                paths.append(address)
            elif kind == "Stream":
                endpoints.append(sockdiag.parse_endpoint(address))
    groups = await bus.properties(*((unit, SOCKET, "ControlGroup") for unit in sockets))
    known = {identity for group in groups if group and (identity := cgroup.identity(group)) is not None}
    (triggers,) = await bus.properties((service, UNIT, "TriggeredBy"))
    mixed = not set(triggers or ()) <= set(sockets)
    return Target(tuple(sockets), tuple(endpoints), tuple(paths), control_group, frozenset(known), mixed)


async def observe(bus: Bus, target: Target) -> Observation:
    """One observation. Raises BusError when systemd cannot be asked."""
    asked = [(unit, SOCKET, name) for unit in target.sockets for name in ("IPIngressBytes", "IPEgressBytes")]
    counters = [_NO_COUNTER if value is None else value for value in await bus.properties(*asked)]
    known = [value for value in counters if value != _NO_COUNTER]
    # A Unix socket's unit has a counter too, one that never moves. Without a socket there is nothing to count.
    counted = len(known) == len(counters) and not target.paths
    traffic = _traffic(target)
    seen = traffic or Traffic()
    return Observation(
        taken=time.monotonic(),
        bytes_in=sum(value for value in counters[::2] if value != _NO_COUNTER),
        bytes_out=sum(value for value in counters[1::2] if value != _NO_COUNTER),
        counted=counted,
        connections=None if traffic is None else frozenset(traffic.connections),
        received=_in_seconds(seen.received_ms),
        sent=_in_seconds(seen.sent_ms),
        opaque=seen.opaque,
        queue=seen.queue,
        cpu_seconds=cgroup.cpu_seconds(target.control_group),
        mixed=target.mixed,
    )


def _in_seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _traffic(target: Target) -> Traffic | None:
    try:
        tcp = sockdiag.tcp_traffic(target.endpoints, target.groups)
        unix = sockdiag.unix_traffic(target.paths)
    except OSError:
        return None
    return Traffic(
        tcp.connections | unix.connections,
        tcp.received_ms,
        tcp.sent_ms,
        tcp.opaque + unix.opaque,
        tcp.queue + unix.queue,
    )
