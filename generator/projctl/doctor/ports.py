"""What is well and what is not with the ports of projects; pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from projctl.doctor.findings import Finding, ok

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projctl.doctor.facts import Ports

#: Share of a pool from which on somebody should look for more ports.
_FULL = 0.9


def examine(ports: Ports) -> Iterator[Finding]:
    """Every finding about ports."""
    yield from exhaustion(ports)
    yield from overlap(ports)


def exhaustion(ports: Ports) -> Iterator[Finding]:
    """Ranges in which new projects find no port any more, or soon will not."""
    for pool in ports.pools:
        total, free = (sum(getattr(use, name) for use in pool.ranges) for name in ("total", "free"))
        told = f"{pool.kind}: {free} of {total} ports free in {pool.text}"
        if free > total * (1 - _FULL):
            yield ok("ports", told)
            continue
        cure = f'add a range to "{pool.kind}" in the manifest; projctl ports shows who has which'
        yield Finding("ports", "warning", told, cure)


def overlap(ports: Ports) -> Iterator[Finding]:
    """Ports of projects that the kernel may give to an outgoing connection."""
    policy = ports.policy
    if policy.ephemeral is None:
        return
    first, last = policy.ephemeral
    mine = [(who, port) for who, port in ports.given if policy.is_ephemeral(port)]
    spans = {(use.first, use.last) for pool in ports.pools for use in pool.ranges}
    barred = {port for span in spans for port in range(span[0], span[1] + 1) if policy.is_ephemeral(port)}
    cure = _reserve({*policy.reserved, *barred, *(port for _, port in mine)})
    for who, port in mine:
        message = f"port {port} is in the ephemeral range {first}-{last}: an outgoing connection may hold it"
        yield Finding("ephemeral", "warning", message, cure, who)
    if barred and not mine:
        message = f"ports {compact(barred)} are in the ephemeral range {first}-{last}: no project gets one"
        yield Finding("ephemeral", "note", message, cure)
    if not mine and not barred:
        yield ok("ephemeral", f"no port lies in {first}-{last}")


def _reserve(wanted: Iterable[int]) -> str:
    line = f"net.ipv4.ip_local_reserved_ports={compact(wanted)}"
    return f"sysctl -w {line}; for good: the line {line} in /etc/sysctl.d/60-projctl.conf"


def compact(ports: Iterable[int]) -> str:
    """The ports as the kernel takes a list of them: `8080,9000-9100`."""
    found = sorted(set(ports))
    breaks = [place for place, (one, next_) in enumerate(pairwise(found), 1) if next_ != one + 1]
    parts = [found[a:b] for a, b in zip([0, *breaks], [*breaks, len(found)], strict=True)]
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts if part)
