"""daphne: takes descriptors as Twisted endpoints; says nothing when it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl.adapters.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Mapping


def _prompt(fds: range) -> Mapping[str, str]:
    """Its access log would wait in a buffer until some eighty requests have come."""
    del fds
    return {"PYTHONUNBUFFERED": "1"}


ADAPTER = Adapter(
    name="daphne",
    programs=("daphne",),
    modules=("daphne",),
    # `--fd` takes one only, and takes it for IPv4, which garbles the clients' addresses on an IPv6 socket.
    arguments=("--endpoint", "systemd:domain=INET6:index={index}"),
    replaced=("-p", "--port", "-b", "--bind", "-u", "--unix-socket", "--fd", "-e", "--endpoint"),
    variables=_prompt,
    # 127.0.0.1:50172 - - [21/Nov/2026:11:02:10] "GET /" 200 5
    access_log=r'\] "[A-Z]+ [^"]*" (?P<status>\d{3}) (?:\d+|-)$',
)
