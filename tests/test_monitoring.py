"""The dashboard and the alerts: what they ask for exists, and promtool holds them for right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from expositions import full_exposition

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "packaging/grafana/projctl.json"
RULES = ROOT / "packaging/prometheus/projctl.rules.yml"
ALERTS = Path(__file__).parent / "prometheus/alerts.yml"
#: Of a scrape itself, not ours.
LABELS = {"instance", "le"}


@cache
def panels() -> list[dict[str, Any]]:
    """All panels that show something."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


@cache
def rules() -> list[dict[str, Any]]:
    """All alerts."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """What dashboard and alerts ask Prometheus for, by who asks."""
    asked = {
        f"panel {panel['id']}{target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    asked |= {f"variable {one['name']}": str(one["query"]) for one in variables}
    return asked | {f"alert {rule['alert']}": rule["expr"] for rule in rules()}


def promtool(*words: str, text: str | None = None) -> str:
    """What promtool says; it must be content."""
    program = shutil.which("promtool")
    assert program, "promtool is missing: it is in the Debian package prometheus"
    done = subprocess.run([program, *words], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_metrics_are_well_formed() -> None:
    assert promtool("check", "metrics", text=full_exposition()) == ""


def test_every_metric_and_label_that_is_asked_for_exists() -> None:
    lines = [line for line in full_exposition().splitlines() if not line.startswith("#")]
    names = {re.split("[{ ]", line)[0] for line in lines}
    labels = LABELS | {label for line in lines for label in re.findall(r'[{,]([a-z]+)="', line)}
    asked = expressions()
    used = {who: set(re.findall(r"\bprojctl_[a-z_]+\b", text)) for who, text in asked.items()}
    assert {who: wrong for who, found in used.items() if (wrong := found - names)} == {}
    assert [who for who, found in used.items() if not found and who != "variable datasource"] == []
    matched = {label for text in asked.values() for label in re.findall(r"([a-z]+)=~?\"", text)}
    grouped = {
        label
        for text in asked.values()
        for by in re.findall(r"by \((.+?)\)", text)
        for label in by.split(", ")
    }
    assert len(matched) >= 3 and len(grouped) >= 4
    assert matched | grouped <= labels


def test_every_metric_is_shown_somewhere() -> None:
    families = set(re.findall(r"^# TYPE (projctl_\S+)", full_exposition(), re.MULTILINE))
    shown = " ".join(expressions().values())
    hidden = {name for name in families if name not in shown and not name.startswith("projctl_agent_process")}
    assert hidden == set()


def test_the_expressions_of_the_dashboard_parse(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    records = [
        {"record": f"r{number}", "expr": re.sub(r"\$__(rate_interval|range)", "5m", target["expr"])}
        for number, (panel, target) in enumerate((p, t) for p in panels() for t in p["targets"])
    ]
    assert len(records) >= 30
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    assert f"SUCCESS: {len(records)} rules found" in promtool("check", "rules", str(file))


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "projctl"
    every = dashboard["panels"]
    assert len({panel["id"] for panel in every}) == len(every) >= 25
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]+)", DASHBOARD.read_text())) <= variables
    for panel in panels():
        assert panel["title"] and panel["description"].endswith("."), panel
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}
        for target in panel["targets"]:
            grouped = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            summed = re.search(r"^-?sum by \((.+?)\)", target["expr"])
            assert grouped <= (set(summed[1].split(", ")) if summed else grouped), panel["title"]


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(0 <= x < 24 for x, _ in cells), panel["title"]
        taken |= cells


def test_promtool_takes_the_alerts() -> None:
    assert f"SUCCESS: {len(rules())} rules found" in promtool("check", "rules", str(RULES))


def test_the_alerts_fire_when_they_should_and_not_otherwise() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(ALERTS))


@pytest.mark.parametrize("fires", [True, False])
def test_every_alert_is_tested_both_ways(fires: bool) -> None:
    cases = [case for test in yaml.safe_load(ALERTS.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires} == {
        rule["alert"] for rule in rules()
    }


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
    verbs = set(re.findall(r"projctl ([a-z]+) \{\{", RULES.read_text()))
    assert verbs == {"logs", "status", "up"}
