"""node: the script itself listens on `{fd: 3}`; SvelteKit's adapter-node does so when LISTEN_FDS says 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl.adapters.adapter import Adapter
from projctl.shellwords import Variable

if TYPE_CHECKING:
    from projctl.shellwords import Word

#: morgan's formats (dev, which is coloured, tiny, short, common, combined) and what pino and Fastify write:
#: GET / 200 1.234 ms - 5
#: ::1 - GET / HTTP/1.1 200 5 - 1.234 ms
#: ::1 - - [21/Nov/2026:10:58:01 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"
#: {"level":30,"time":1795258822980,"pid":7,"res":{"statusCode":200},"responseTime":1.5,"msg":"request completed"}
_ACCESS_LOG = (
    r'^(?:\{.*?"statusCode":|(?:\x1b\[0m|\S+ \S+ (?:\S+ \[[^\]]*\] ")?)?[A-Z]+ \S+ (?:HTTP/[\d.]+"? )?(?:\x1b\[\d+m)?)'
    r'(?P<status>[1-5]\d\d)\b(?:(?:.*?"responseTime":|[^"]* )(?P<milliseconds>\d+(?:\.\d+)?)(?: ms\b|[,}]))?'
)
_RESTARTS = "leave it out: it runs the script in a child, which systemd's sockets do not reach"


@dataclass(frozen=True)
class _Node(Adapter):
    def recognises(self, words: tuple[Word, ...]) -> bool:
        """Whether it is a script that may take a socket: one that is told `$PORT` opens that itself."""
        told = any(Variable("PORT") in word for word in words)
        return super().recognises(words) and not told


ADAPTER = _Node(
    name="node",
    programs=("node", "nodejs"),
    asks="let the script listen on {fd: 3}",
    refused={"--watch": _RESTARTS, "--watch-path": _RESTARTS},
    access_log=_ACCESS_LOG,
)
