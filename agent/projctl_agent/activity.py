"""One look at a running project: its sockets' counters, connections and queues, its CPU."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from projctl_agent import cgroup, locks, sockdiag, usage
from projctl_agent.bus import SERVICE, SOCKET, UNIT, Bus
from projctl_agent.idle import Observation
from projctl_agent.sockdiag import Endpoint, Listeners, Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projctl_agent.settings import Settings
    from projctl_agent.tables import Table

#: The variable that tells a project's programs which file to lock.
_LOCK = "PROJCTL_HOLD="
#: Turns of the loop until a task's questions are written: its own, and that of one task for each.
_UNTIL_ASKED = 2


@dataclass(frozen=True, slots=True)
class Target:
    """Where to look: socket units, and what they listen on.

    `control_group` is the server's; `mixed` is whether it serves sockets that do not count, too; `lock` is the file
    that its programs hold it awake by. `epoch` is when systemd loaded its units, in microseconds.
    """

    sockets: tuple[str, ...]
    tcp: Listeners
    paths: tuple[str, ...]
    control_group: str
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
    listeners = Listeners(tuple(endpoints), frozenset(known))
    return Target(sockets, listeners, tuple(paths), control_group, mixed, lock, await bus.loaded())


async def observe(
    bus: Bus, table: Table, target: Target, before: Observation | None = None, *, last: bool = False
) -> Observation:
    """One observation. Raises BusError when systemd cannot be asked.

    Where counters alone do not tell what happened since the one `before`, closed connections are looked for. What the
    `last` one before a stop finds is as new as can be.
    """
    received, packets, traffic, cpu_seconds = await _read(bus, table, target, before, last=last)
    # A Unix socket's unit has a counter too, one that never moves.
    counted = received is not None and not target.paths
    seen = traffic or Traffic()
    gapless = counted and before is not None and before.counted and before.epoch == target.epoch
    return Observation(
        taken=time.monotonic(),
        bytes_in=received or 0,
        counted=counted,
        connections=None if traffic is None else frozenset(traffic.connections),
        received=_in_seconds(seen.received_ms),
        sent=_in_seconds(seen.sent_ms),
        opaque=seen.opaque,
        queue=seen.queue,
        cpu_seconds=cpu_seconds,
        mixed=target.mixed,
        packets=packets or 0,
        segments=seen.segments,
        program_held=None if target.lock is None else locks.held(target.lock),
        epoch=target.epoch,
        closed=None if gapless else _closed(target),
    )


class _Reading(NamedTuple):
    """Bytes and packets that came in as the sockets counted them, what the kernel's tables tell, CPU seconds."""

    received: int | None
    packets: int | None
    traffic: Traffic | None
    cpu_seconds: float | None


async def _read(
    bus: Bus, table: Table, target: Target, before: Observation | None, *, last: bool
) -> _Reading:
    stays = bool(before and before.connections)
    # Packets tell probes from data on connections that stay.
    names = ("IPIngressBytes", "IPIngressPackets") if stays else ("IPIngressBytes",)
    asked = asyncio.ensure_future(_counted(bus, target.sockets, *names))
    # The questions leave first: systemd answers while the kernel walks through its sockets, and wakes nobody for that.
    for _ in range(_UNTIL_ASKED):
        await asyncio.sleep(0)
    traffic, cpu_seconds = await _traffic(table, target), cgroup.cpu_seconds(target.control_group)
    received, *packets = await asked
    if last or (stays and before and received not in {None, before.bytes_in}):
        # A probe, or data, may have come in between: a later table knows of all that was counted.
        traffic, cpu_seconds = await _traffic(table, target), cgroup.cpu_seconds(target.control_group)
    if traffic and traffic.connections and not packets:
        packets = await _counted(bus, target.sockets, "IPIngressPackets")
    return _Reading(received, packets[0] if packets else None, traffic, cpu_seconds)


def _closed(target: Target) -> float | None:
    try:
        return _in_seconds(sockdiag.closed_ms(target.tcp.endpoints))
    except OSError:
        return None


async def _counted(bus: Bus, sockets: Sequence[str], *names: str) -> list[int | None]:
    """The sums of these counters over all counting sockets; None where one of them does not count."""
    values = await bus.properties(*((unit, SOCKET, name) for name in names for unit in sockets))
    each = [values[start : start + len(sockets)] for start in range(0, len(values), len(sockets) or 1)]
    return [None if {None, usage.NONE} & set(some) else sum(some) for some in each] or [0] * len(names)


def _in_seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def listeners(target: Target) -> set[int]:
    """The inodes of the sockets that listen for it. Raises OSError where the kernel does not tell."""
    (tcp,) = sockdiag.tcp_traffic([target.tcp])
    return tcp.listeners | sockdiag.unix_traffic(target.paths).listeners


async def _traffic(table: Table, target: Target) -> Traffic | None:
    try:
        tcp = await table.traffic(target.tcp) if target.tcp.endpoints else Traffic()
        unix = sockdiag.unix_traffic(target.paths)
    except OSError:
        return None
    return Traffic(
        tcp.connections | unix.connections,
        tcp.received_ms,
        tcp.sent_ms,
        tcp.segments,
        tcp.opaque + unix.opaque,
        tcp.queue + unix.queue,
    )
