"""Tables and the rows of list: they fit every width, and what is cut is cut where it hurts least."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projctl import listing
from projctl.status import ProjectStatus, SocketStatus
from projctl.table import Column, cut, fit

SHOP = ProjectStatus(
    "shop", "running", (SocketStatus("http", "[::]:3400", 3400), SocketStatus("admin", "127.0.0.1:3401", 3401)),
    812345, 40_000_000, 12.345, 7512.0, 62.0, 17, "projctl-shop.service",
)  # fmt: skip
BLOG = ProjectStatus(
    "blog", "asleep", (SocketStatus("http", "/run/projctl/blog.sock", None),), *[None] * 6, "u"
)  # type: ignore[arg-type]
FLEET = [
    SHOP,
    BLOG,
    *(ProjectStatus(f"a-name-that-is-rather-long@{n}", "failed", (), *[None] * 6, "u") for n in (0, 1)),
]  # type: ignore[arg-type]


def text(line: list[tuple[int, str]]) -> str:
    """A line as it is printed, two spaces between its cells."""
    return "  ".join(cell for _, cell in line).rstrip()


def shown(width: int, fleet: list[ProjectStatus] = FLEET) -> list[str]:
    return [text(line) for line in fit(listing.COLUMNS, [listing.row(p) for p in fleet], width)]


def test_a_wide_terminal_shows_all() -> None:
    assert shown(200, [SHOP, BLOG]) == [
        "NAME  STATE       PID  PORTS                      CPU  MEMORY   UPTIME     IDLE  STARTS",
        "shop  running  812345  3400,127.0.0.1:3401     12.35s   38.1M  2h 5min  1min 2s      17",
        "blog  asleep        -  /run/projctl/blog.sock       -       -        -        -       -",
    ]


def test_eighty_and_sixty_columns_drop_what_matters_least() -> None:
    assert shown(80)[0].split() == ["NAME", "STATE", "PID", "PORTS", "MEMORY", "UPTIME", "IDLE", "STARTS"]
    assert shown(60)[0].split() == ["NAME", "STATE", "PORTS", "MEMORY", "UPTIME"]
    for width in (80, 60):
        assert max(map(len, shown(width))) <= width
        assert [line.split()[0][-2:] for line in shown(width)[3:]] == ["@0", "@1"]


def test_very_narrow_terminals_keep_the_name() -> None:
    assert shown(20, [SHOP]) == ["NAME  STATE", "shop  running"]
    assert shown(3, [SHOP]) == ["NA…", "sh…"]


cells = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
columns = st.builds(Column, cells, st.booleans(), st.integers(0, 5), st.none() | st.integers(1, 20))


@settings(deadline=None)
@given(st.data(), st.lists(columns, min_size=1, max_size=8), st.integers(1, 120))
def test_no_line_is_ever_longer_than_the_terminal(
    data: st.DataObject, head: list[Column], width: int
) -> None:
    rows = data.draw(st.lists(st.tuples(*[cells] * len(head)), max_size=5))
    lines = fit(head, rows, width)
    assert len(lines) == len(rows) + 1
    assert all(len(text(line)) <= width for line in lines)
    assert len({len("  ".join(cell for _, cell in line)) for line in lines}) == 1
    natural = [max(len(row[i]) for row in ([c.heading for c in head], *rows)) for i in range(len(head))]
    if sum(natural) + 2 * (len(head) - 1) <= width:
        assert [[cell.strip() for _, cell in line] for line in lines[1:]] == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("whole", "width", "shorter"),
    [
        ("shop", 4, "shop"),
        ("shopping", 5, "shop…"),
        ("shopping@12", 8, "shop…@12"),
        ("shopping@12", 3, "sh…"),
        ("a@b.example", 6, "a@b.e…"),
    ],
)
def test_cutting(whole: str, width: int, shorter: str) -> None:
    assert cut(whole, width) == shorter
    assert len(shorter) <= width


def test_an_override_is_marked() -> None:
    moved = ProjectStatus(
        "shop", "asleep", (SocketStatus("http", "[::]:3001", 3001),), *[None] * 6, "u", override=True
    )  # type: ignore[arg-type]
    assert listing.row(moved)[3] == "3001 (override)"


@pytest.mark.parametrize(
    ("count", "written"), [(None, "-"), (0, "0B"), (1536, "1.5K"), (40_000_000, "38.1M"), (1 << 42, "4.0T")]
)
def test_sizes(count: int | None, written: str) -> None:
    assert listing.size(count) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(None, "-"), (0.4, "0s"), (61, "1min 1s"), (7512, "2h 5min"), (90000, "1d 1h")]
)
def test_spans(seconds: float | None, written: str) -> None:
    assert listing.span(seconds) == written
