"""The page of `projctl report --html` in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from report_fleet import GIB, HOUR, by_hand, run, synthetic
from test_kpis import build, facts
from test_page import ELEMENTS, HOSTILE, Reader

from projctl.report import figures, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Loaded

    Load = Callable[[str], Loaded]


def test_the_console_is_heard(load: Load) -> None:
    found = load("<!doctype html><img src=http://nowhere.example/><script>nothing.at.all</script>")
    assert any("nothing is not defined" in line for line in found.console)


@pytest.mark.parametrize("projects", [0, 3, 40])
def test_key_figures_are_shown_and_nothing_is_complained_about(load: Load, projects: int) -> None:
    report = build(synthetic(projects, 3) if projects else by_hand())
    found = load(page.render(report))
    assert found.console == []
    shown = Reader(found.dom)
    assert shown.values == {kpi.key: figures.kpi(kpi).partition(" (")[0] for kpi in report.kpis}
    assert set(shown.elements) <= ELEMENTS
    assert {project.name for project in report.projects if project.used} <= set(shown.texts)


def test_what_is_recorded_stays_text(load: Load) -> None:
    lines = [
        line
        for place, said in enumerate(HOSTILE)
        for n in range(3)
        for line in run(
            said, f"r{place}-{n}", n * HOUR, 6.0, n * HOUR + 60, "crash", exit=said, memory_bytes=GIB
        )
    ]
    found = load(page.render(build(lines, facts(HOSTILE, host=HOSTILE[0]))))
    assert found.console == []
    shown = Reader(found.dom)
    assert set(shown.elements) <= ELEMENTS
    assert not [name for name in shown.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in shown.texts


def test_the_policy_forbids_what_would_run(load: Load) -> None:
    """Should markup get in after all, the browser does not run it."""
    html = page.render(build(by_hand()))
    spoilt = html.replace(
        "</body>", "<script>document.title = 'run'</script><img src=x onerror=run()></body>"
    )
    assert spoilt != html
    found = load(spoilt)
    assert "<title>run</title>" not in found.dom
    assert len([line for line in found.console if "Content Security Policy" in line]) >= 2
