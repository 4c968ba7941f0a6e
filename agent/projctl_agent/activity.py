"""One look at a running project: its sockets' counters, connections and queues, its CPU."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from projctl_agent import cgroup, locks, sockdiag, usage
from projctl_agent.bus import SERVICE, SOCKET, UNIT, Bus
from projctl_agent.idle import Observation, Packets
from projctl_agent.sockdiag import Endpoint, Traffic
from projctl_agent.usage import Bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl_agent.settings import Settings

#: The variable that tells a project's programs which file to lock.
_LOCK = "PROJCTL_HOLD="


@dataclass(frozen=True, slots=True)
class Target:
    """Where to look: socket units, what they listen on, the ids of the control groups that they were opened in.

    `control_group` is the server's; `mixed` is whether it serves sockets that do not count, too; `lock` is the file
    that its programs hold it awake by. `epoch` is when systemd loaded its units, in microseconds.
    """

    sockets: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    paths: tuple[str, ...]
    control_group: str
    groups: frozenset[int] = frozenset()
    mixed: bool = False
    lock: Path | None = None
    epoch: int = 0


async def find_target(bus: Bus, settings: Settings, control_group: str) -> Target:
    """The target of a project: asks each socket unit what it listens on, and which others start the service."""
    sockets = settings.sockets
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
    triggers, variables = await bus.properties(
        (settings.service, UNIT, "TriggeredBy"), (settings.primary, SERVICE, "Environment")
    )
    mixed = not set(triggers or ()) <= set(sockets)
    lock = next((Path(text[len(_LOCK) :]) for text in variables or () if text.startswith(_LOCK)), None)
    known_groups, epoch = frozenset(known), await bus.loaded()
    return Target(sockets, tuple(endpoints), tuple(paths), control_group, known_groups, mixed, lock, epoch)


async def observe(bus: Bus, target: Target, before: Observation | None = None) -> Observation:
    """One observation. Raises BusError when systemd cannot be asked.

    Where counters alone do not tell what happened since the one `before`, closed connections are looked for.
    """
    moved, packets = await asyncio.gather(_bytes(bus, target.sockets), _packets(bus, target.sockets))
    # A Unix socket's unit has a counter too, one that never moves.
    counted = moved is not None and not target.paths
    received, sent = moved or (0, 0)
    traffic = _traffic(target)
    seen = traffic or Traffic()
    gapless = counted and before is not None and before.counted and before.epoch == target.epoch
    return Observation(
        taken=time.monotonic(),
        bytes_in=received,
        bytes_out=sent,
        counted=counted,
        connections=None if traffic is None else frozenset(traffic.connections),
        received=_in_seconds(seen.received_ms),
        sent=_in_seconds(seen.sent_ms),
        opaque=seen.opaque,
        queue=seen.queue,
        cpu_seconds=cgroup.cpu_seconds(target.control_group),
        mixed=target.mixed,
        packets=packets,
        segments=Packets(seen.segments_in, seen.segments_out),
        program_held=None if target.lock is None else locks.held(target.lock),
        epoch=target.epoch,
        closed=None if gapless else _closed(target),
    )


def _closed(target: Target) -> float | None:
    try:
        return _in_seconds(sockdiag.closed_ms(target.endpoints))
    except OSError:
        return None


async def _bytes(bus: Bus, sockets: Sequence[str]) -> Bytes | None:
    """As the socket units have counted; without a socket there is nothing to count."""
    return await usage.counters(bus, sockets) if sockets else Bytes(0, 0)


async def _packets(bus: Bus, sockets: Sequence[str]) -> Packets:
    """What the socket units have counted; nothing where they do not."""
    asked = [(unit, SOCKET, name) for name in ("IPIngressPackets", "IPEgressPackets") for unit in sockets]
    values = [value or 0 for value in await bus.properties(*asked)]
    return Packets(sum(values[: len(sockets)]), sum(values[len(sockets) :]))


def _in_seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def listeners(target: Target) -> set[int]:
    """The inodes of the sockets that listen for it. Raises OSError where the kernel does not tell."""
    tcp = sockdiag.tcp_traffic(target.endpoints, target.groups)
    return tcp.listeners | sockdiag.unix_traffic(target.paths).listeners


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
        tcp.segments_in,
        tcp.segments_out,
        tcp.opaque + unix.opaque,
        tcp.queue + unix.queue,
    )
