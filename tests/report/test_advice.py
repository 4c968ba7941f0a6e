"""Each recommendation, what makes it, and what does not."""

from __future__ import annotations

from report_fleet import DAY, GIB, HOUR, T0, line, run
from test_kpis import build, by_hand, facts

from projctl.portlist import RangeUse
from projctl.report.servers import Live, Settings


def advice(lines: list[str], **more: object) -> dict[tuple[str, str], str]:
    return {(a.kind, a.subject): f"{a.text}: {a.reason}" for a in build(lines, facts(**more)).advice}  # type: ignore[arg-type]


def test_by_hand() -> None:
    limits = {"shop@1": Settings(3600.0, 60.0, "2G"), "blog": Settings(3600.0)}
    assert advice(by_hand(), installed=limits) == {
        ("memory", "shop@1"): (
            "give it more memory (limits: memory): ran out of memory once, its limit is 2G, it needed 3.0G at the most"
        ),
        ("slow", "shop@1"): "find out what makes its start slow: 3 cold starts, 95 % of them within 6.0 s",
        ("ports", "5001-5010"): 'add a range of ports: 2 of 10 ports under "ports" are free',
    }


def test_warm() -> None:
    lines = [text for n in range(6) for text in run("blog", f"r{n}", n * 7 * HOUR, 2.5, (n * 7 + 2) * HOUR)]
    assert advice(lines, ranges=None) == {
        ("warm", "blog"): (
            "start it ahead of its use (warm), or give it a longer idle time: 6 cold starts, 95 % of them within 2.5 s"
        )
    }


def test_a_longer_idle_time() -> None:
    lines = [text for n in range(5) for text in run("blog", f"r{n}", n * 9000.0, 0.1, n * 9000.0 + 7200)]
    assert advice(lines, ranges=None) == {
        ("idle", "blog"): (
            "give it a longer idle time (idle): 4 of 5 idle stops were followed by a start within 1h: "
            "1h 30min instead would have bridged most"
        )
    }
    rare = [text for n in range(4) for text in run("blog", f"r{n}", n * 12 * HOUR, 0.1, n * 12 * HOUR + 7200)]
    assert advice(rare, ranges=None) == {}


def test_faults() -> None:
    lines = [
        text
        for n in range(3)
        for text in run("blog", f"r{n}", n * HOUR, 1.0, n * HOUR + 9, "crash", exit="<b>")
    ]
    found = advice(lines, ranges=None)
    assert found["faults", "blog"] == (
        "look into its log (projctl logs NAME): ended by a fault 3 times, 0 of them before it was ready; last: <b>"
    )


def test_one_shared_server() -> None:
    names = [f"p{n}" for n in range(100)]
    live = {name: Live(T0 - DAY, float(GIB)) for name in names}
    assert ("shared", "") in advice([line(0, "apply", "p0")], names=names, live=live, ranges=None)
    assert advice([], names=names[1:], live=dict(list(live.items())[1:]), ranges=None) == {}


def test_ranges_that_one_socket_names_itself_may_be_full() -> None:
    assert advice([], ranges=(RangeUse("listen", 8080, 8080, 1, 1, 0, 0, 0),)) == {}
