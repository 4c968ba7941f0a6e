"""php-fpm: FPM_SOCKETS says which descriptor is which `listen` of a pool; speaks FastCGI.

The name is the same for every address, and no path: php-fpm removes the path of a Unix socket when it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl.adapters.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Mapping

_IN_FOREGROUND = "leave it out: systemd runs the server in the foreground"


def _sockets(fds: range) -> Mapping[str, str]:
    return {"FPM_SOCKETS": ",".join(f"/dev/fd/{fd}={fd}" for fd in fds)}


ADAPTER = Adapter(
    name="php-fpm",
    programs=("php-fpm", *(f"php-fpm{major}.{minor}" for major in (7, 8) for minor in range(10))),
    variables=_sockets,
    notifies=True,
    most_sockets=1,
    refused={"-D": _IN_FOREGROUND, "--daemonize": _IN_FOREGROUND},
    asks='write "listen = /dev/fd/3" in the pool',
    stop_signal="SIGQUIT",
    reload_signal="SIGUSR2",
    access_log=r'"[A-Z]+ [^"]*" (?P<status>[1-5]\d\d)(?: (?P<seconds>\d+\.\d+))?$',
)
