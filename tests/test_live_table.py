"""The live table's order, filter, keys and shares of CPU, from statuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from projctl import top
from projctl.status import ProjectStatus, SocketStatus
from projctl.top import Line, View

BLANK = ProjectStatus("blog", "asleep", (), None, None, None, None, None, None, "projctl-blog.service")
SHOP = replace(
    BLANK, name="shop", state="running", sockets=(SocketStatus("http", "*:3400", 3400),), pid=7,
    cpu_seconds=3.0, memory_bytes=2048, uptime_seconds=9.0, idle_seconds=1.0,
)  # fmt: skip
POOLS = [replace(BLANK, name=f"pool@{n}", state="failed") for n in (10, 2)]


def lines() -> list[Line]:
    return top.measure([replace(SHOP, cpu_seconds=2.5)], [BLANK, SHOP, *POOLS], 2.0)


def test_shares_of_cpu_are_those_between_two_looks_at_one_run() -> None:
    assert [line.share for line in lines()] == [None, 0.25, None, None]
    assert top.row(lines()[1])[4] == "25.0" and top.row(lines()[0])[4] == "-"
    restarted = top.measure([replace(SHOP, pid=6, cpu_seconds=0.1)], [SHOP], 2.0)
    assert restarted[0].share is None
    assert top.summary(lines()) == "4 servers: 2 failed, 1 running, 1 asleep; CPU 25.0%, memory 2.0K"


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View("n"), ["blog", "pool@2", "pool@10", "shop"]),
        (View("n", reverse=True), ["shop", "pool@10", "pool@2", "blog"]),
        (View("s"), ["pool@10", "pool@2", "shop", "blog"]),
        (View("c"), ["shop", "blog", "pool@10", "pool@2"]),
        (View("m", reverse=True), ["shop", "blog", "pool@10", "pool@2"]),
        (View("n", wanted="FAIL"), ["pool@2", "pool@10"]),
        (View("n", wanted="3400"), ["shop"]),
    ],
)
def test_order_and_filter(view: View, expected: list[str]) -> None:
    assert [line.project.name for line in top.arrange(lines(), view)] == expected


def test_keys_are_characters_and_names() -> None:
    assert top.keys("q\x1b[Ax\x1bOB\x1b[6~\x1b[99;5~\r\x7f\x1b") == [
        "q", "up", "x", "down", "page-down", "enter", "delete", "escape",
    ]  # fmt: skip


def pressed(view: View, *keys: str, page: int = 10, count: int = 95) -> View:
    for key in keys:
        view = top.press(view, key, page, count)
    return view


def test_keys_move_within_what_there_is() -> None:
    assert pressed(View(), "down", "j", "page-down").first == 12
    assert pressed(View(), "up", "page-up").first == 0
    assert pressed(View(), "end").first == pressed(View(), "G", "down").first == 85
    assert pressed(View(), "end", "home").first == 0
    assert pressed(View(), "end", count=3).first == 0
    assert top.clamp(View(first=50), 10, 20).first == 10


def test_keys_choose_and_a_filter_takes_all_of_them() -> None:
    assert pressed(View(), "m") == View(sort="m")
    assert pressed(View(first=5), "r") == View(reverse=True)
    assert pressed(View(), "p").paused and pressed(View(), "q").done
    typed = pressed(View(), "/", "q", "r", "x", "delete", "up", "\x01")
    assert typed == View(wanted="qr", typing=True)
    assert pressed(typed, "enter") == View(wanted="qr")
    assert pressed(typed, "escape") == pressed(typed, "enter", "escape") == View()
    assert "filter: qr_" in top.position(typed, 10, 95)
    assert top.position(View(first=85, paused=True), 10, 95) == "86-95 of 95, by CPU  paused"
    assert top.position(View(), 10, 0) == "0-0 of 0, by CPU"
