"""The report as text, JSON and a page: the same figures, and nothing that a project says becomes markup."""

from __future__ import annotations

import json
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from report_fleet import DAY, GIB, HOUR, T0, by_hand, run, synthetic
from test_kpis import RANGES, build, facts

from projctl.report import document, figures, markup, page, text
from projctl.report.spans import Span

GOLDEN = Path(__file__).with_name("by-hand.txt")
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><svg onload=alert(1)>",
    "<!--",
    "]]>&lt;b&amp;",
    "javascript:alert(1)",
    "\x1b[31m\x00\u202e\ud800",
]
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "section", "footer", "h1", "h2", "h3", "p", "div",
    "span", "i", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "line", "text",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects what a browser would see: elements, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.values: dict[str, str] = {}
        self.texts: list[str] = []
        self._kpi = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {key for key, _ in attrs}
        self._kpi = dict(attrs).get("data-kpi") or ""

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._kpi:
            self.values[self._kpi] = data
            self._kpi = ""


def test_text(request: pytest.FixtureRequest) -> None:
    shown = text.plain(build(by_hand()))
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(shown)
    assert shown == GOLDEN.read_text()


def test_the_page_has_the_figures_of_the_report() -> None:
    report = build(by_hand())
    assert Reader(page.render(report)).values == {
        kpi.key: figures.kpi(kpi).partition(" (")[0] for kpi in report.kpis
    }


@pytest.mark.parametrize("said", HOSTILE)
def test_nothing_that_is_recorded_becomes_markup(said: str) -> None:
    """Names cannot be so, since the agent believes no such unit; what a process says of its end can."""
    tame = page.render(build(hostile("name", "said"), facts(["name"], host="host")))
    wild = page.render(build(hostile(said, said), facts([said], host=said)))
    assert wild.isprintable() or all(c.isprintable() or c == "\n" for c in wild)
    assert Reader(wild).elements == Reader(tame).elements
    assert Reader(wild).attributes == Reader(tame).attributes
    plain = text.plain(build(hostile(said, said), facts([said], host=said)))
    assert all(c.isprintable() or c in "\n\t" for c in plain)


def hostile(name: str, said: str) -> list[str]:
    return [
        line
        for n in range(4)
        for line in run(name, f"r{n}", n * HOUR, 6.0, n * HOUR + 60, "crash", exit=said, memory_bytes=GIB)
    ]


@pytest.mark.parametrize("projects", [0, 1, 12, 60])
def test_a_page_needs_nothing_but_itself(projects: int) -> None:
    found = Reader(page.render(build(synthetic(projects, 2), facts([f"spare-{n}" for n in range(projects)]))))
    assert set(found.elements) <= ELEMENTS
    assert not found.attributes & {"src", "href", "style", "srcset", "action", "background"}
    assert not [name for name in found.attributes if name.startswith("on")]


def test_the_page_may_load_and_run_nothing() -> None:
    html = page.render(build(by_hand()))
    assert "default-src 'none'" in html
    assert "url(" not in html and "@import" not in html


@pytest.mark.parametrize("name", ["script", "style", "iframe", "base", "meta", "link"])
def test_elements_that_act_cannot_be_made(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        markup.tag(name, "x")


def test_json_has_the_figures_of_the_report() -> None:
    report = build(by_hand())
    shown = json.loads(json.dumps(document.as_json(report), allow_nan=False))
    assert shown["version"] == document.VERSION == 1
    assert {key: kpi["value"] for key, kpi in shown["kpis"].items()} == {
        kpi.key: kpi.value for kpi in report.kpis
    }
    assert [found["name"] for found in shown["projects"]] == ["blog", "maint", "nap", "shop"]
    assert shown["never_used"] == ["nap"]
    assert [use["utilisation"] for use in shown["ports"]] == [use.utilisation for use in RANGES]
    assert len(shown["series"]["buckets"]) == 48


def test_memory_over_time_has_a_unit_that_fits() -> None:
    shown = {0.0: "0.0 MiB·h", 0.01: "10.2 MiB·h", 44.0: "44.0 GiB·h", 44896.6: "44,897 GiB·h"}
    assert {value: figures.gib_hours(value) for value in shown} == shown


def test_shares_are_cut_and_not_rounded() -> None:
    shares = {1: "100 %", 0: "0 %", 0.99999: "99.9 %", 0.29: "29.0 %", 0.0004: "< 0.1 %", 0.1449999: "14.4 %"}
    assert {share: figures.percent(share) for share in shares} == shares
    assert figures.percent(0.999999, 3) == "99.999 %"


@pytest.mark.parametrize(("days", "step", "count"), [(3, "hour", 72), (30, "day", 30), (365, "4 days", 92)])
def test_the_longer_the_window_the_longer_the_steps(days: int, step: str, count: int) -> None:
    known = facts(window=Span(T0, T0 + days * DAY))
    found = build(synthetic(2, 2), known).series
    assert (found.step, len(found.buckets)) == (step, count)
    assert (found.buckets[0].span.begin, found.buckets[-1].span.end) == known.window


def test_days_begin_at_midnight_where_the_reader_is_also_when_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    window = Span(*(datetime(2026, 3, day, 12, tzinfo=zone).timestamp() for day in (27, 31)))
    found = build([], facts(window=window, zone=zone)).series
    assert [bucket.span.seconds / HOUR for bucket in found.buckets] == [12, 24, 23, 24, 12]
