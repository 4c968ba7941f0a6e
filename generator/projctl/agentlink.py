"""Asks the running agent what only it knows, through its local socket; no agent is no error."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from projctl.scope import Scope

_SECONDS = 2.0
_LARGEST = 64 << 20


def status(scope: Scope) -> dict[str, dict[str, Any]]:
    """What the agent says of each project (`idle_seconds`, `starts`, …); empty when none answers."""
    projects = _answer(scope).get("projects")
    return {k: v for k, v in projects.items() if isinstance(v, dict)} if isinstance(projects, dict) else {}


def answers(scope: Scope) -> bool:
    """Whether an agent of ours is there and answers."""
    return "projects" in _answer(scope)


def _answer(scope: Scope) -> dict[str, Any]:
    if scope.remote:
        return {}
    try:
        answer = json.loads(_ask(str(scope.runtime / "agent.sock"), b'{"get":"status"}\n'))
    except (OSError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _ask(path: str, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_SECONDS)
        client.connect(path)
        client.sendall(request)
        answer = bytearray()
        while not answer.endswith(b"\n") and len(answer) < _LARGEST:
            chunk = client.recv(1 << 16)
            if not chunk:
                break
            answer += chunk
    return bytes(answer)
