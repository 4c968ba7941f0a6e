"""What requests took, out of the lines of an access log."""

from __future__ import annotations

import pytest

from projctl_agent.access import window
from projctl_agent.settings import Settings

PATTERN = r"(?P<status>[0-9]{3}) (?P<milliseconds>[0-9]+)$"


def settings(pattern: str | None = PATTERN) -> Settings:
    unit = "projctl-web.service"
    return Settings("web", unit, unit, (), None, 0.0, None, None, access_log=pattern)


def test_codes_and_durations() -> None:
    texts = ["GET / 200 12", "no request", "GET /x 404 100", "GET / 200 101", "GET /long 200 99999999"]
    found = window.summarise(settings(), texts)
    assert found["codes"] == {"200": 3, "404": 1}
    assert sum(count for _, count in found["seconds"]) == 3  # longer than a day is no duration
    (short, one), (round_one, also_one), (above, too) = found["seconds"]
    assert (one, also_one, too) == (1, 1, 1)
    assert 0.012 <= short < 0.0135 and round_one == 0.1 and 0.101 <= above < 0.112


def test_a_log_without_durations() -> None:
    assert window.summarise(settings("(?P<status>[0-9]{3})$"), ["GET / 200"]) == {
        "codes": {"200": 1},
        "seconds": [],
    }


@pytest.mark.parametrize(
    ("pattern", "texts", "message"),
    [
        ("(", [], "must be a regular expression"),
        ("(?P<code>1)", [], 'must have a group "status"'),
        (r"(a+)+(?P<status>\d)$", ["a" * 64 + "!"] * 3, "takes too long"),
    ],
)
def test_what_cannot_be_read(pattern: str, texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window.summarise(settings(pattern), texts)


def test_bounds_lie_close() -> None:
    assert all(
        low < high <= low * 1.11 for low, high in zip(window.BOUNDS[:-2], window.BOUNDS[1:-1], strict=True)
    )
