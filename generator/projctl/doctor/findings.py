"""What the doctor says: findings, how bad they are, the exit status they make; pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity = Literal["ok", "note", "warning", "error"]

#: From best to worst. 2 stands for wrong usage everywhere.
STATUS: dict[Severity, int] = {"ok": 0, "note": 0, "warning": 1, "error": 3}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what there is and, where it is not well, what cures it."""

    check: str
    severity: Severity
    message: str
    cure: str | None = None
    project: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `doctor --json` prints."""
        return asdict(self)


def ok(check: str, message: str) -> Finding:
    """All is well there."""
    return Finding(check, "ok", message)


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity; `ok` when there is no finding at all."""
    order = list(STATUS)
    return max((finding.severity for finding in findings), key=order.index, default="ok")
