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
from projctl_agent.locks import Held
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
    if before and before.connections:
        reading = await _read_in_turn(bus, table, target, None if last else before.bytes_in)
    elif last:
        (received,) = await _counted(bus, target.sockets, "IPIngressBytes")
        reading = _Reading(received, None, await _traffic(table, target), time.monotonic())
    else:
        reading = await _read_at_once(bus, table, target)
    received, packets, traffic, read, segments = reading
    seen = traffic or Traffic()
    if seen.connections and packets is None:
        (packets,) = await _counted(bus, target.sockets, "IPIngressPackets")
    # A Unix socket's unit has a counter too, one that never moves.
    counted = received is not None and not target.paths
    gapless = counted and before is not None and before.counted and before.epoch == target.epoch
    taken = time.monotonic()
    program = _program(target, before)
    return Observation(
        taken=taken,
        bytes_in=received or 0,
        counted=counted,
        connections=None if traffic is None else frozenset(traffic.connections),
        received=_age(seen.received_ms, taken - read),
        sent=_age(seen.sent_ms, taken - read),
        opaque=seen.opaque,
        queue=seen.queue,
        cpu_seconds=cgroup.cpu_seconds(target.control_group),
        mixed=target.mixed,
        packets=packets if counted else 0,
        segments=seen.segments,
        segments_before=seen.segments if segments is None else segments,
        program_held=program.at,
        program_changed=program.changed,
        epoch=target.epoch,
        closed=None if gapless else _closed(target),
    )


class _Reading(NamedTuple):
    """Bytes and packets that came in as the sockets counted them, what the kernel's tables told, and when.

    `segments` is what connections had taken before the packets were asked for, None where that is the table's.
    """

    received: int | None
    packets: int | None
    traffic: Traffic | None
    read: float
    segments: int | None = None


async def _read_at_once(bus: Bus, table: Table, target: Target) -> _Reading:
    """The question leaves first: systemd answers while the kernel walks through its sockets, and wakes nobody."""
    asked = asyncio.ensure_future(_counted(bus, target.sockets, "IPIngressBytes"))
    try:
        for _ in range(_UNTIL_ASKED):
            await asyncio.sleep(0)
        traffic, read = await _traffic(table, target), time.monotonic()
        (received,) = await asked
    finally:
        asked.cancel()
    return _Reading(received, None, traffic, read)


async def _read_in_turn(bus: Bus, table: Table, target: Target, known: int | None) -> _Reading:
    """Packets tell probes from data on connections that stay, if tables from before and after hold all of them.

    The later one need not be read where the bytes are `known`.
    """
    first, read = await _traffic(table, target), time.monotonic()
    received, packets = await _counted(bus, target.sockets, "IPIngressBytes", "IPIngressPackets")
    if received is not None and received == known:
        return _Reading(received, packets, first, read)
    traffic, read = await _traffic(table, target), time.monotonic()
    return _Reading(received, packets, traffic, read, first.segments if first else 0)


def _program(target: Target, before: Observation | None) -> Held:
    known = Held(before.program_held, before.program_changed) if before else Held()
    return Held() if target.lock is None else locks.held(target.lock, known)


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


def _age(milliseconds: int | None, since: float) -> float | None:
    return None if milliseconds is None else milliseconds / 1000 + since


def _in_seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


class Queue(NamedTuple):
    """The connections that no server has taken, those of clients that have gone by now included.

    `known` has the identities of those that the kernel still shows: of one that was reset it does not.
    """

    length: int
    known: frozenset[int]

    def has_all_of(self, before: Queue) -> bool:
        """Whether nothing was taken since `before`: then none has gone, but for such as were reset."""
        more = self.length - before.length
        return more >= 0 and (before.known <= self.known or len(self.known - before.known) <= more)


def queue(target: Target) -> Queue:
    """What waits for a server now. Raises OSError where the kernel does not tell."""
    (tcp,) = sockdiag.tcp_traffic([target.tcp])
    unix = sockdiag.unix_traffic(target.paths)
    return Queue(tcp.queue + unix.queue, frozenset(tcp.waiting | unix.waiting))


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
