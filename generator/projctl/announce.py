"""Tells the journal what a person ordered, before it is done: a stop by order is no crash and no idleness.

Entries go to journald by its own protocol (systemd's JOURNAL_NATIVE_PROTOCOL), which needs no library.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from projctl.names import project_of, service_unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projctl.scope import Scope

Order = Literal["apply", "override", "stop", "restart", "down", "up"]

#: The identity of these entries, which the agent knows them by; the catalog explains them.
ORDER = "b3123d8caca15454c53c0abc7e83fb33"
_JOURNAL = "/run/systemd/journal/socket"
#: Seconds to wait for a journal that is behind.
_PATIENCE = 2.0
_TEXTS: dict[Order, str] = {
    "apply": "Applying a manifest to project {}.",
    "override": "Moving project {} to other ports, or back.",
    "stop": "Stopping project {}, as ordered.",
    "restart": "Restarting project {}, as ordered.",
    "down": "Taking project {} down, as ordered: its sockets close.",
    "up": "Taking project {} up again, as ordered.",
}


def tell(scope: Scope, order: Order, servers: Iterable[str]) -> None:
    """One entry for each server; where no journal takes it, or another machine is meant, none, which is no error."""
    texts = [_entry(order, server) for server in servers]
    if scope.remote or not texts:
        return
    import socket  # verbs that only read need this module too

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_PATIENCE)
        channel.connect(_JOURNAL)
        for text in texts:
            channel.send(text)


def _entry(order: Order, server: str) -> bytes:
    unit = service_unit(server)
    number = server.partition("@")[2]
    fields = {
        "MESSAGE": _TEXTS[order].format(server),
        "MESSAGE_ID": ORDER,
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "projctl",
        "PROJCTL_PROJECT": project_of(unit) or server,
        **({"PROJCTL_INSTANCE": number} if number else {}),
        "PROJCTL_EVENT": order,
        "PROJCTL_UNIT": unit,
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items()).encode()
