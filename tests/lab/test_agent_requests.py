"""What real servers are counted for: requests by status, exactly, and use; before and after the agent restarts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import server_cases
from agent_stage import Stage, install_agent, wait_for
from steps import apply, projctl

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENT = "projctl-agent.service"
SERVERS = {"gunicorn": 3601, "uvicorn": 3602, "nginx": 3603, "caddy": 3604}
Counts = dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def stage(_nothing_left: None, _shared: Path) -> Iterator[Stage]:
    with Lab.boot(binds=[_shared]) as lab:
        projects = {}
        for name, port in SERVERS.items():
            case = server_cases.every()[name]
            (place := _shared / f"requests-{name}").mkdir()
            if case.prepare:
                case.prepare(place)
            projects[name] = {
                "path": str(place),
                **case.project,
                "listen": port,
                "env": {"ODD": "", **case.project.get("env", {})},
            }
        apply(lab, projects)
        yield install_agent(lab)


def ask(stage: Stage, path: str = "/", times: int = 1) -> None:
    """Ask every server."""
    for name, port in SERVERS.items():
        for _ in range(times):
            with stage.lab.connect(port, timeout=60) as connection:
                server_cases.every()[name].exchange(connection, path)


def counted(stage: Stage) -> Counts:
    """Requests by project and code."""
    found: Counts = {}
    for (family, *labels), value in stage.metrics().items():
        if family == "projctl_requests_total":
            of = dict(labels)
            found.setdefault(of["project"], {})[of["code"]] = int(value)
    return found


def every(**codes: int) -> Counts:
    return {name: {code.strip("_"): count for code, count in codes.items()} for name in SERVERS}


def test_requests_are_counted_exactly(stage: Stage) -> None:
    ask(stage, times=7)
    ask(stage, "/missing", times=3)
    wait_for(lambda: counted(stage) == every(_200=7, _404=3), "every request counted")
    stage.systemctl("restart", AGENT)
    assert counted(stage) == every(_200=7, _404=3)
    stage.systemctl("kill", "-s", "KILL", AGENT)
    wait_for(lambda: stage.systemctl("show", "-P", "ActiveState", AGENT) == "active", "a new agent")
    assert counted(stage) == every(_200=7, _404=3)


def test_what_happens_without_the_agent_is_counted_too(stage: Stage) -> None:
    ask(stage)
    wait_for(lambda: len(counted(stage)) == len(SERVERS), "a request of each counted")
    before = counted(stage)
    stage.systemctl("stop", AGENT)
    ask(stage)
    stage.systemctl("stop", *(f"projctl-{name}.service" for name in SERVERS))
    stage.lab.file("/var/lib/projctl-agent/access.json").unlink()
    stage.systemctl("start", AGENT)
    ask(stage)
    for codes in before.values():
        codes["200"] += 2
    wait_for(lambda: counted(stage) == before, "what was asked meanwhile counted")


def test_durations_and_first_responses(stage: Stage) -> None:
    ask(stage)
    wait_for(lambda: len(counted(stage)) == len(SERVERS), "a request of each counted")
    found = stage.metrics()
    timed = found["projctl_request_duration_seconds_count", ("project", "caddy")]
    assert timed == sum(counted(stage)["caddy"].values())
    for name in SERVERS:
        firsts = found["projctl_first_response_seconds_count", ("project", name)]
        assert firsts == found["projctl_starts_total", ("project", name)]
        assert 0 < found["projctl_first_response_seconds_sum", ("project", name)] < 60 * firsts


GROWS = ("cpu_seconds_total", "receive_bytes_total", "transmit_bytes_total", "running_seconds_total")


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


def test_what_journald_threw_away_is_told(stage: Stage) -> None:
    flood = (
        "import time\nfor _ in range(1000): print('line')\nprint(flush=True)\ntime.sleep(1.2)\nprint('again')"
    )
    stage.lab.write("/run/flood.py", flood)
    limit = "ExecStartPre=/usr/bin/python3 /run/flood.py\nLogRateLimitIntervalSec=1s\nLogRateLimitBurst=10"
    stage.project("flood", "3608", service=limit)
    stage.get(3608)
    wait_for(
        lambda: stage.metrics()["projctl_suppressed_lines_total", ("project", "flood")] > 10, "suppression"
    )
    assert stage.metrics()["projctl_suppressed_lines_total", ("project", "sleeper")] == 0


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


def test_only_its_own_lines_count(stage: Stage) -> None:
    line = '127.0.0.1 - - [21/Nov/2026:10:58:01 +0000] "GET / HTTP/1.1" %s 5 "-" "-"'
    forged = (
        "_SYSTEMD_UNIT=projctl-gunicorn.service\nUNIT=projctl-gunicorn.service\nPROJCTL_PROJECT=gunicorn\n"
    )
    ask(stage)
    stage.lab.run(["logger", "--journald"], input=f"MESSAGE={line % 503}\n{forged}")
    stage.lab.run(["systemd-run", "--wait", "--unit=projctl-gunicorn-x.service", "echo", line % 503])
    # Its own lines are believed, but only about itself, and they make few series whatever they say.
    every_code = (
        f"for code in range(100, 1000): print('{line}' % code)\nprint('\\x00\\udcff' + '\"' * 9000)\n"
    )
    stage.lab.write("/run/loud.py", every_code)
    loud = "ExecStartPre=/usr/bin/python3 /run/loud.py\nEnvironment=PYTHONIOENCODING=utf-8:surrogateescape"
    stage.project("loud", "3605", service=loud, AccessLog=r'" (?P<status>\d{3}) ')
    stage.get(3605)
    wait_for(lambda: "loud" in counted(stage), "the loud project counted")
    found = counted(stage)
    assert "503" not in found["gunicorn"]
    assert sum(found["loud"].values()) == 500
    assert len(found["loud"]) < 90
    assert set(found["loud"]) >= {"200", "503", "1xx", "2xx", "5xx"}


def test_a_pattern_that_takes_for_ever_is_given_up(stage: Stage) -> None:
    stage.lab.write("/run/slow.py", f"for _ in range(9): print('{'a' * 60}')")
    slow = "ExecStartPre=/usr/bin/python3 /run/slow.py"
    stage.project("slow", "3606", service=slow, AccessLog=r"(a+)+(?P<status>X)")
    stage.get(3606)

    def said() -> bool:
        stage.metrics()
        entries = stage.entries(_SYSTEMD_UNIT=AGENT)
        return any("of slow: its pattern takes too long" in entry["MESSAGE"] for entry in entries)

    wait_for(said, "the agent giving up")
    assert stage.status()["slow"]["state"] in ("running", "asleep")
