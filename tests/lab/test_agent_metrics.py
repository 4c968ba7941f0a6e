"""What projects use and save, as metrics tell it: it moves, never falls, and costs one bulk of questions."""

from __future__ import annotations

import re
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, wait_for
from metrics_stage import AGENT, SERVERS, ask, calls, running, set_up, shown
from steps import ENVIRONMENT, projctl

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROWS = ("cpu_seconds_total", "receive_bytes_total", "transmit_bytes_total", "running_seconds_total")


@pytest.fixture(scope="module")
def stage(_nothing_left: None, _shared: Path) -> Iterator[Stage]:
    with Lab.boot(binds=[_shared]) as lab:
        yield set_up(lab, _shared, "metrics")


def use(stage: Stage, name: str) -> dict[str, float]:
    """What a project used so far."""
    found = stage.metrics()
    return {figure: found[f"projctl_{figure}", ("project", name)] for figure in GROWS}


def grows(stage: Stage, name: str, before: dict[str, float]) -> None:
    """Ask, and see every figure grow by it; none has fallen."""
    for _ in range(20):
        ask(stage, times=5)
        after = use(stage, name)
        if all(after[figure] > before[figure] for figure in GROWS):
            break
    assert all(after[figure] > before[figure] for figure in GROWS), (before, after)


def test_use_moves_and_never_falls(stage: Stage) -> None:
    ask(stage)
    names = ("gunicorn", "uvicorn", "nginx")
    wait_for(lambda: all(name in stage.status() for name in names), "all of them watched")
    before = {name: use(stage, name) for name in names}
    for name in names:
        grows(stage, name, before[name])
        found, key = stage.metrics(), ("project", name)
        assert found["projctl_memory_peak_bytes", key] >= found["projctl_memory_bytes", key] > 1_000_000
        assert found["projctl_threads", key] >= found["projctl_processes", key] >= 1
        assert found["projctl_uptime_seconds", key] > found["projctl_idle_seconds", key] >= 0
    with stage.lab.connect(SERVERS["nginx"]):
        wait_for(lambda: stage.metrics()["projctl_connections", key] == 1, "an open connection")
    before = {name: use(stage, name) for name in names}
    stage.systemctl("kill", "-s", "KILL", AGENT)
    wait_for(lambda: stage.systemctl("show", "-P", "ActiveState", AGENT) == "active", "a new agent")
    for name in names:
        assert all(value >= before[name][figure] for figure, value in use(stage, name).items())
    stage.systemctl("stop", AGENT)
    ask(stage)
    stage.systemctl("stop", *(f"projctl-{name}.service" for name in names))
    stage.systemctl("start", AGENT)
    for name in names:
        assert all(value >= before[name][figure] for figure, value in use(stage, name).items())
        assert ("projctl_memory_bytes", ("project", name)) not in stage.metrics()
    for name in names:
        grows(stage, name, use(stage, name))


def test_sleep_and_what_it_saves(stage: Stage) -> None:
    stage.project("sleeper", "3607")
    key = ("project", "sleeper")
    stage.get(3607)
    stage.wait_until_asleep("sleeper")
    wait_for(lambda: ("projctl_asleep_seconds_total", key) in stage.metrics(), "sleep seen")
    stage.get(3607)

    def found() -> dict[tuple[Any, ...], float]:
        return stage.metrics()

    wait_for(lambda: ("projctl_memory_saved_byte_seconds_total", key) in found(), "what it saved")
    slept, saved = (
        found()[f"projctl_{name}_total", key] for name in ("asleep_seconds", "memory_saved_byte_seconds")
    )
    peak = found()["projctl_memory_peak_bytes", key]
    assert slept > 5
    assert 1_000_000 * slept < saved <= 2 * peak * slept


def test_the_verb_tells_what_a_scrape_shows_and_promtool_finds_nothing_to_say(stage: Stage) -> None:
    text = projctl(stage.lab, "metrics").stdout
    assert set(re.findall("^# TYPE.*", text, re.MULTILINE)) == set(
        re.findall("^# TYPE.*", stage.get(9753, "/metrics"), re.MULTILINE)
    )
    done = stage.lab.run(["promtool", "check", "metrics"], input=text, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    fetch = ["curl", "-s", "-H", "Accept: application/openmetrics-text", "http://127.0.0.1:9753/metrics"]
    assert stage.lab.run(fetch).stdout.endswith("# EOF\n")


def test_a_file_for_node_exporter_is_replaced_or_left_alone(stage: Stage) -> None:
    stage.lab.run(["mkdir", "-p", "/run/collector"])
    file = stage.lab.file("/run/collector/projctl.prom")
    words = ("metrics", "--textfile", "/run/collector/projctl.prom")
    projctl(stage.lab, *words)
    before = file.read_text()
    assert before.count("projctl_starts_total{") >= len(SERVERS)
    assert file.stat().st_mode & 0o777 == 0o644
    assert stage.lab.run(["ls", "/run/collector"]).stdout == "projctl.prom\n"
    agent = ("projctl-agent.socket", "projctl-agent-metrics.socket", AGENT)
    stage.systemctl("stop", *agent)
    done = projctl(stage.lab, *words, check=False)
    assert done.returncode == 1
    assert "projctl: cannot ask the agent at /run/projctl/agent.sock: " in done.stderr
    assert file.read_text() == before
    stage.systemctl("start", *agent)
    for path, status in (("/run/collector/x.txt", 2), ("/run/none/x.prom", 1)):
        assert projctl(stage.lab, "metrics", "--textfile", path, check=False).returncode == status


def test_what_was_removed_is_forgotten_and_what_is_down_is_not(stage: Stage) -> None:
    for name, port in (("removed", "3609"), ("shut", "3610")):
        stage.project(name, port, service="ExecStartPre=/bin/echo 200", AccessLog="(?P<status>200)")
        stage.get(int(port))
        wait_for(lambda: "projctl_requests_total" in shown(stage, name), "a project shown")  # noqa: B023
    stage.systemctl("stop", "projctl-shut.socket", "projctl-removed.socket")
    for kind in ("service", "socket"):
        stage.lab.file(f"/etc/systemd/system/projctl-removed.{kind}").unlink()
    stage.systemctl("daemon-reload")
    wait_for(lambda: not shown(stage, "removed"), "the removed project gone")
    assert shown(stage, "shut") >= {
        "projctl_starts_total",
        "projctl_requests_total",
        "projctl_cpu_seconds_total",
    }
    stage.systemctl("restart", AGENT)
    assert shown(stage, "removed") == set()
    assert shown(stage, "shut") >= {
        "projctl_starts_total",
        "projctl_requests_total",
        "projctl_cpu_seconds_total",
    }


MANY = """
import asyncio
from projctl_agent.bus import UNIT, Bus, Listener
async def ask():
    bus = await Bus.connect(Listener(lambda *_: None, lambda *_: None), user=False)
    print(len([v for v in await bus.properties(*[("dbus.service", UNIT, "ActiveState")] * 3000) if v == "active"]))
    bus.close()
asyncio.run(ask())
"""


def test_more_questions_than_a_socket_holds_are_answered(stage: Stage) -> None:
    done = stage.lab.run([sys.executable, "-c", MANY], env=ENVIRONMENT, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("3000\n", "")


def test_a_scrape_asks_once_for_units_and_at_once_for_counters(stage: Stage) -> None:
    for number in range(5):
        stage.project(f"asleep{number}", str(3620 + number), start=False)
    stage.project("awake", "3611", IdleStopSec="infinity")
    stage.systemctl("start", *(f"projctl-asleep{number}.socket" for number in range(5)))
    stage.get(3611)
    wait_for(lambda: "awake" in running(stage), "the project that runs")
    for name in running(stage) - {"awake"}:
        stage.systemctl("stop", f"projctl-{name}.service")
    wait_for(lambda: running(stage) == {"awake"}, "one project that runs alone")
    # Two counters of the one socket of the one project that runs; nothing of those that sleep. Others ask, too, and
    # what was just scraped is not asked again.
    expected = ["Get", "Get", "ListUnitsByPatterns"]
    wait_for(lambda: sorted(calls(stage, stage.metrics)) == expected, "a scrape by itself")


def test_many_who_ask_for_the_status_cost_systemd_no_question_each(stage: Stage) -> None:
    def ask_often() -> None:
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(stage.lab.file("/run/projctl/agent.sock")))
                client.sendall(b'{"get":"status"}\n')
                assert b'"projects"' in client.makefile("rb").readline()

    assert calls(stage, ask_often).count("ListUnitsByPatterns") < 100
