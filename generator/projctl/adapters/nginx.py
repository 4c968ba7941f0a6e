"""nginx: takes the descriptors in NGINX whose address is that of a `listen`, and then stays in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl.adapters.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Mapping


def _inherited(fds: range) -> Mapping[str, str]:
    return {"NGINX": "".join(f"{fd};" for fd in fds)}


def _listen(stream: str) -> str:
    """The line for a ListenStream= value: nginx compares addresses, and takes a port alone for IPv4."""
    if stream.startswith("/"):
        return f"listen unix:{stream};"
    return f"listen {stream};" if ":" in stream else f"listen [::]:{stream} ipv6only=off;"


ADAPTER = Adapter(
    name="nginx",
    programs=("nginx",),
    variables=_inherited,
    stop_signal="SIGQUIT",
    reload_signal="SIGHUP",
    configured=_listen,
    access_log=r'"[^"]*" (?P<status>[1-5]\d\d) \d+(?: |$)',
)
