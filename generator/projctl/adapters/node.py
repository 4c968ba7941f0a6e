"""node: the script itself listens on `{fd: 3}`; SvelteKit's adapter-node does so when LISTEN_FDS says 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl.adapters.adapter import Adapter
from projctl.shellwords import Variable

if TYPE_CHECKING:
    from projctl.shellwords import Word

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
)
