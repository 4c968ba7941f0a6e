"""Asks the running agent what only it knows, through its local socket; no agent is no error."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from projctl.diagnostics import ProjctlError

if TYPE_CHECKING:
    from projctl.scope import Scope

_SECONDS = 2.0
#: Seconds for what the agent makes anew, and may share with other askers.
_LONG = 15.0
_LARGEST = 64 << 20


def status(scope: Scope, project: str | None = None) -> dict[str, dict[str, Any]]:
    """What the agent says of each project (`idle_seconds`, `starts`, …); empty when none answers.

    Of one project alone it says more: it looks at it for that.
    """
    projects = _answer(scope, project).get("projects")
    return {k: v for k, v in projects.items() if isinstance(v, dict)} if isinstance(projects, dict) else {}


def health(scope: Scope) -> dict[str, Any] | None:
    """What the agent says of itself (`agent_version`, `bus`, `journal`, `helper`, …); None when none answers."""
    try:
        found = _ask(scope, {"get": "health"}).get("health")
    except (OSError, ValueError):
        return None
    # Of an agent too old to know the question nothing but that it answers is known.
    return found if isinstance(found, dict) else {}


def order(scope: Scope, what: str, project: str, **more: float | None) -> dict[str, Any]:
    """Give the agent an order; its answer. Raises ProjctlError where none answers, or it refuses."""
    answer = _require(scope, {"order": what, "project": project, **more})
    if refusal := answer.get("error"):
        raise ProjctlError(f"cannot {what} {project}: {refusal}")
    return answer


def metrics(scope: Scope) -> str:
    """The agent's metrics in Prometheus' text form. Raises ProjctlError where no agent tells them."""
    answer = _require(scope, {"get": "metrics"}, _LONG)
    if not isinstance(text := answer.get("metrics"), str):
        raise ProjctlError(f"cannot get metrics: {answer.get('error', 'the agent tells none')}")
    return text


def _require(scope: Scope, request: dict[str, Any], seconds: float = _SECONDS) -> dict[str, Any]:
    """The agent's answer. Raises ProjctlError where none answers."""
    try:
        return _ask(scope, request, seconds)
    except (OSError, ValueError) as error:
        text = (getattr(error, "strerror", None) or str(error)).lower()
        hint = f"install and start it: projctl agent install{' --user' * scope.user}"
        raise ProjctlError(
            f"cannot ask the agent at {scope.runtime / 'agent.sock'}: {text}", hint=hint
        ) from None


def _answer(scope: Scope, project: str | None = None) -> dict[str, Any]:
    if scope.remote:
        return {}
    try:
        return _ask(scope, {"get": "status"} | ({"project": project} if project else {}))
    except (OSError, ValueError):
        return {}


def _ask(scope: Scope, request: dict[str, Any], seconds: float = _SECONDS) -> dict[str, Any]:
    """The agent's answer. Raises OSError or ValueError."""
    line = json.dumps(request, separators=(",", ":")).encode() + b"\n"
    answer = json.loads(_exchange(str(scope.runtime / "agent.sock"), line, seconds))
    if not isinstance(answer, dict):
        raise ValueError("its answer is no object")
    return answer


def _exchange(path: str, request: bytes, seconds: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(seconds)
        client.connect(path)
        client.sendall(request)
        answer = bytearray()
        while not answer.endswith(b"\n") and len(answer) < _LARGEST:
            chunk = client.recv(1 << 16)
            if not chunk:
                break
            answer += chunk
    return bytes(answer)
