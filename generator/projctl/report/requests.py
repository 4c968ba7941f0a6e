"""What requests took, as `projctl-agent requests` reads it from the access logs; pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl.diagnostics import ProjctlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Requests:
    """Answers of one server by code; `seconds` are upper bounds, and how many took so long at the most."""

    codes: Mapping[str, int]
    seconds: Sequence[tuple[float, int]]

    @property
    def count(self) -> int:
        """How many were answered."""
        return sum(self.codes.values())


def parse(lines: Iterable[str]) -> dict[str, Requests]:
    """By server; other kinds of objects than the program prints are an error."""
    found: dict[str, Requests] = {}
    for line in lines:
        try:
            told = json.loads(line)
            name, number = str(told["project"]), told["instance"]
            seconds = [(float(bound), int(count)) for bound, count in told["seconds"]]
            codes = {str(code): int(n) for code, n in told["codes"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ProjctlError(f"cannot read what requests took: {type(error).__name__}: {error}") from None
        found[name if number is None else f"{name}@{number}"] = Requests(codes, seconds)
    return found


def percentile(logs: Iterable[Requests], share: float) -> float | None:
    """The bound that this share of all requests stayed within; None where no log tells durations."""
    counts = sorted(pair for log in logs for pair in log.seconds)
    wanted = share * sum(count for _, count in counts) - 1e-9
    reached = 0
    for bound, count in counts:
        reached += count
        if reached >= wanted:
            return bound
    return None
