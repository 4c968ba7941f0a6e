"""Requests by status out of real servers' access logs: exact, before and after the agent restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, wait_for
from metrics_stage import AGENT, SERVERS, ask, counted, set_up

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Counts = dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def stage(_nothing_left: None, _shared: Path) -> Iterator[Stage]:
    with Lab.boot(binds=[_shared]) as lab:
        yield set_up(lab, _shared, "requests")


def settled(stage: Stage) -> Counts:
    """What is counted once every request so far is in the journal."""
    found: list[Counts] = [{}]

    def unchanged() -> bool:
        stage.lab.run(["journalctl", "--sync"])
        found.append(counted(stage))
        return found[-1] == found[-2]

    wait_for(unchanged, "nothing more to count")
    return found[-1]


def more(before: Counts, **codes: int) -> Counts:
    """These counts, and of each server so many more by code."""
    return before | {
        name: {
            **before.get(name, {}),
            **{code[1:]: before.get(name, {}).get(code[1:], 0) + n for code, n in codes.items()},
        }
        for name in SERVERS
    }


def test_requests_are_counted_exactly(stage: Stage) -> None:
    expected = more(settled(stage), _200=7, _404=3)
    ask(stage, times=7)
    ask(stage, "/missing", times=3)
    wait_for(lambda: counted(stage) == expected, "every request counted")
    stage.systemctl("restart", AGENT)
    assert counted(stage) == expected
    stage.systemctl("kill", "-s", "KILL", AGENT)
    wait_for(lambda: stage.systemctl("show", "-P", "ActiveState", AGENT) == "active", "a new agent")
    assert counted(stage) == expected


def test_what_happens_without_the_agent_is_counted_too(stage: Stage) -> None:
    ask(stage)
    expected = more(settled(stage), _200=2)
    stage.systemctl("stop", AGENT)
    ask(stage)
    stage.systemctl("stop", *(f"projctl-{name}.service" for name in SERVERS))
    stage.lab.file("/var/lib/projctl-agent/access.json").unlink()
    stage.systemctl("start", AGENT)
    ask(stage)
    wait_for(lambda: more(counted(stage)) == expected, "what was asked meanwhile counted")


def test_durations_and_first_responses(stage: Stage) -> None:
    ask(stage)
    settled(stage)
    found = stage.metrics()
    timed = found["projctl_request_duration_seconds_count", ("project", "caddy")]
    assert timed == sum(counted(stage)["caddy"].values())
    for name in SERVERS:
        firsts = found["projctl_first_response_seconds_count", ("project", name)]
        assert firsts == found["projctl_starts_total", ("project", name)]
        assert 0 < found["projctl_first_response_seconds_sum", ("project", name)] < 60 * firsts


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
    assert stage.metrics()["projctl_suppressed_lines_total", ("project", "gunicorn")] == 0
