"""The short forms of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl import values
from projctl.listen import Listen, parse_listen

if TYPE_CHECKING:
    from collections.abc import Callable

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
PARSERS: list[Callable[[object], object]] = [
    values.parse_seconds,
    values.parse_seconds_or_never,
    values.parse_seconds_or_zero,
    values.parse_bytes,
    values.parse_percent,
    values.parse_range,
    values.literal_text,
    values.single_line,
    parse_listen,
]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("90", 90),
        ("90s", 90),
        ("500ms", 0.5),
        ("1ms", 0.001),
        ("15m", 900),
        ("15 min", 900),
        ("1h 30min", 5400),
        ("1h30min", 5400),
        ("2 days", 172800),
        ("1w", 604800),
        ("1.5h", 5400),
    ],
)
def test_time_spans(value: object, seconds: float) -> None:
    assert values.parse_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "0",
        "",
        " ",
        "s",
        "-5s",
        "0.9ms",
        0.0004,
        "5 fortnights",
        "1h,",
        True,
        None,
        float("nan"),
        float("inf"),
        "٣s",
        "9" * 5000,
    ],
)
def test_what_is_no_time_span(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be a time span|unknown time unit"):
        values.parse_seconds(value)


def test_never_and_zero() -> None:
    assert values.parse_seconds_or_never("never") is None
    assert [values.parse_seconds_or_zero(zero) for zero in (0, 0.0, "0", "0s")] == [0, 0, 0, 0]
    with pytest.raises(ValueError, match='or "never"'):
        values.parse_seconds_or_never("often")
    with pytest.raises(ValueError, match="time span"):
        values.parse_seconds_or_zero(False)


@given(st.text(alphabet="0123456789. \thms-x", max_size=2000))
def test_spans_of_any_shape_end(text: str) -> None:
    try:
        seconds = values.parse_seconds(text)
    except ValueError:
        return
    assert 0 < seconds < 10**9


@given(st.integers(1, 10**6), st.integers(1, 59), st.integers(1, 59))
def test_parts_of_a_span_add_up(hours: int, minutes: int, seconds: int) -> None:
    hours %= 1000
    assert values.parse_seconds(f"{hours}h {minutes}min {seconds}s") == hours * 3600 + minutes * 60 + seconds


def test_sizes_and_percentages() -> None:
    assert [values.parse_bytes(size) for size in (5, "5", "5K", "2G")] == [5, 5, 5 << 10, 2 << 30]
    assert [values.parse_percent(share) for share in ("50%", "0.1%", "0.25%", "200%")] == [50, 0.1, 0.25, 200]
    for size in (0, -1, "0", "5k", "5MB", "1.5G", "", True, None, 1.5, "9" * 5000):
        with pytest.raises(ValueError, match="must be a size"):
            values.parse_bytes(size)
    for share in (50, "50", "0%", "0.09%", "1.125%", "9999999%", "-1%", "%", None, "9" * 5000 + "%"):
        with pytest.raises(ValueError, match="must be a percentage"):
            values.parse_percent(share)


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_ranges(first: int, last: int) -> None:
    if first <= last:
        assert values.parse_range(f"{first}-{last}") == (first, last)
    else:
        with pytest.raises(ValueError, match="not above its last"):
            values.parse_range(f"{first}-{last}")


@given(ANYTHING)
def test_parsers_refuse_in_our_words(value: object) -> None:
    for parse in PARSERS:
        try:
            parse(value)
        except ValueError as error:
            assert str(error).startswith(("must ", "cannot ", "unknown ")), error  # noqa: PT017


@pytest.mark.parametrize(
    ("value", "listen"),
    [
        (3400, Listen(port=3400)),
        ("3400", Listen(port=3400)),
        ("auto", Listen(auto=True)),
        ("auto:5-7", Listen(auto=True, ranges=((5, 7),), each=True)),
        ("5-7", Listen(ranges=((5, 7),), each=True)),
        ("eth0:80", Listen(device="eth0", port=80)),
        ("eth0.100:80", Listen(device="eth0.100", port=80)),
        ("unix", Listen(kind="unix")),
        ("/run/x.sock", Listen(kind="unix", path="/run/x.sock")),
        ("127.0.0.1:80", Listen(host="127.0.0.1", port=80)),
        ("localhost:80", Listen(host="127.0.0.1", port=80)),
        ("[::1]:80", Listen(host="::1", port=80)),
        ("[0:0:0:0:0:0:0:1]:80", Listen(host="::1", port=80)),
    ],
)
def test_listen(value: object, listen: Listen) -> None:
    assert parse_listen(value) == listen


NO_ADDRESSES = [
    *(0, 65536, -1, True, 80.0, None),
    *("", "90-80", "80-", "::1:80", "example.com:80", "auto:", "auto:9-1", "1.2.3.4:0", "\uff19"),
    *("/a//b", "/a/", "/../a", "/a/..", " /a", "/" + "x" * 107, "/a\nb"),
]


@pytest.mark.parametrize("value", NO_ADDRESSES)
def test_what_cannot_be_listened_on(value: object) -> None:
    with pytest.raises(ValueError, match=r"^(must|cannot) "):
        parse_listen(value)


def test_text_that_systemd_can_carry() -> None:
    assert values.literal_text("a\tb\nc é 🙂 %$\\\"'") == "a\tb\nc é 🙂 %$\\\"'"
    for text in ("\0", "\x1b", "\x7f", "\r", "\ud800"):
        with pytest.raises(ValueError, match=r"U\+00|Unicode"):
            values.literal_text(text)


def test_every_bad_part_is_told() -> None:
    with pytest.raises(values.BadPartsError) as refused:
        values.parse_each(enumerate(["1-2", "x", 5]), values.parse_range)
    assert [step for step, _ in refused.value.parts] == [1, 2]
