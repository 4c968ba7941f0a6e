"""Every finding of the doctor with its message and cure, from facts; how bad the whole is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from projctl.addresses import Policy
from projctl.doctor import agent, fleet, history, host, ports, starts
from projctl.doctor.facts import (
    Agent,
    Copy,
    Descriptors,
    Deviation,
    History,
    Host,
    Journal,
    Kind,
    Pool,
    Ports,
    Projects,
    Server,
    Start,
)
from projctl.doctor.findings import STATUS, Finding, Severity, worst
from projctl.network import parse_ports
from projctl.portlist import RangeUse
from projctl.report.events import Event
from projctl.status import ProjectStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

WELL = Host(
    systemd=252,
    controllers=frozenset({"cpu", "memory", "pids", "io"}),
    counting=True,
    ptrace_scope=0,
    journal=Journal(persistent=True, since=1_700_000_000.0),
    descriptors=Descriptors(limit=1_000_000, open=700, sockets=300),
    copies=(Copy("/usr/bin/projctl", "1.0"),),
)
AGENT = Agent(installed=True, active="active", answers=True, version="1.0", rule=True, helper="reached")
SHOP = ProjectStatus("shop", "asleep", (), None, None, None, None, None, 3, "projctl-shop.service")


def bad(findings: Iterable[Finding]) -> list[tuple[str, Severity]]:
    """What is not ok, each with a cure."""
    found = [finding for finding in findings if finding.severity != "ok"]
    assert all(finding.cure for finding in found)
    return [(finding.check, finding.severity) for finding in found]


def only(findings: Iterable[Finding]) -> Finding:
    """The one finding that is not ok."""
    (found,) = (finding for finding in findings if finding.severity != "ok")
    return found


def projects(**more: object) -> list[Finding]:
    return list(fleet.examine(replace(Projects(manifests=1, now=10_000.0), **more), flag=""))  # type: ignore[arg-type]


def test_a_machine_that_is_well_has_no_complaint() -> None:
    assert bad(host.examine(WELL)) == []
    assert bad(agent.examine(AGENT, "1.0", user_mode=False)) == []
    assert bad(projects(servers=(Server(SHOP),))) == []
    assert bad(ports.examine(Ports())) == []


@pytest.mark.parametrize(
    ("facts", "check", "severity", "message", "cure"),
    [
        (Host(None), "systemd", "error", "no systemd answers", "projctl try"),
        (replace(WELL, systemd=247), "systemd", "error", "systemd 247 is too old", "upgrade"),
        (
            replace(WELL, unified=False),
            "control-groups",
            "error",
            "not version 2",
            "systemd.unified_cgroup_hierarchy=1",
        ),
        (
            replace(WELL, controllers=frozenset({"cpu", "pids"})),
            "control-groups",
            "note",
            "limits.memory have no effect",
            "cgroup_enable=memory",
        ),
        (
            replace(WELL, ptrace_scope=3, freezes=True),
            "freezer",
            "warning",
            "ptrace_scope=3 forbids",
            "reboot",
        ),
        (replace(WELL, shows_sockets=False), "freezer", "note", "nothing can be frozen", "5.14"),
        (
            replace(WELL, user_mode=True, ptrace_scope=1),
            "freezer",
            "note",
            "ptrace_scope=1 forbids",
            "ptrace_scope=0",
        ),
        (replace(WELL, counting=False), "counters", "warning", "counts no bytes", "CAP_BPF"),
        (replace(WELL, journal=None), "journal", "note", "cannot be read", "systemd-journal"),
        (
            replace(WELL, journal=Journal(False, 1e9)),
            "journal",
            "warning",
            "lost at a reboot, reaches back to 2001-09-0",
            "mkdir -p /var/log/journal",
        ),
        (
            replace(WELL, descriptors=Descriptors(20_000, 10_100, 10_000)),
            "descriptors",
            "error",
            "10100 of 20000 descriptors open, 20100 during a reload: systemctl daemon-reload would fail",
            "prlimit --pid 1 --nofile=65536:65536",
        ),
        (
            replace(WELL, descriptors=Descriptors(20_000, 8_100, 8_000)),
            "descriptors",
            "warning",
            "16100 during a reload",
            "prlimit",
        ),
        (
            replace(WELL, user_mode=True, lingers=False),
            "linger",
            "note",
            "end when you log out",
            "loginctl enable-linger",
        ),
        (
            replace(WELL, copies=(Copy("/root/.local/bin/projctl", "2.0"), Copy("/usr/bin/projctl", "1.0"))),
            "copies",
            "warning",
            "2 copies: /root/.local/bin/projctl (2.0), /usr/bin/projctl (1.0); the shell takes /root",
            "apt remove projctl",
        ),
    ],
)
def test_each_defect_of_the_machine(facts: Host, check: str, severity: str, message: str, cure: str) -> None:
    found = only(host.examine(facts))
    assert (found.check, found.severity) == (check, severity)
    assert message in found.message and cure in (found.cure or "")


@pytest.mark.parametrize(
    ("facts", "check", "severity", "message", "cure"),
    [
        (Agent(installed=False), "agent", "warning", "not installed", "projctl agent install"),
        (replace(AGENT, answers=False), "agent", "error", "runs, but does not answer", "systemctl restart"),
        (
            replace(AGENT, answers=False, active="failed"),
            "agent",
            "error",
            "does not run (failed)",
            "journalctl",
        ),
        (
            replace(AGENT, version="0.9"),
            "agent-version",
            "warning",
            "is version 0.9, this projctl 1.0",
            "agent install",
        ),
        (replace(AGENT, journal=False), "agent-journal", "error", "cannot read the journal", "usermod"),
        (replace(AGENT, polkit=False), "polkit", "error", "may not stop anything", "apt install polkitd"),
        (replace(AGENT, rule=False), "polkit", "error", "rule that lets the agent stop", "agent install"),
        (
            replace(AGENT, helper="silent"),
            "helper",
            "error",
            "cannot be reached",
            "restart projctl-agent-helper.socket",
        ),
    ],
)
def test_each_defect_of_the_agent(facts: Agent, check: str, severity: str, message: str, cure: str) -> None:
    found = only(agent.examine(facts, "1.0", user_mode=False))
    assert (found.check, found.severity) == (check, severity)
    assert message in found.message and cure in (found.cure or "")


@pytest.mark.parametrize(
    ("kind", "severity", "message", "cure"),
    [
        ("edited", "warning", "written after the last apply", "systemctl edit projctl-shop.service"),
        ("differs", "warning", "not as its manifest says", "projctl diff"),
        ("missing", "warning", "is gone", "projctl apply"),
        ("new", "note", "not installed yet", "projctl apply"),
        ("unwanted", "warning", "no longer in any manifest", "projctl apply"),
        ("stale", "warning", "since systemd read it", "systemctl daemon-reload"),
    ],
)
def test_each_way_in_which_a_unit_is_wrong(kind: Kind, severity: str, message: str, cure: str) -> None:
    found = only(projects(deviations=(Deviation("projctl-shop.service", kind),)))
    assert (found.check, found.severity, found.project) == ("units", severity, "shop")
    assert message in found.message and cure in (found.cure or "")


def test_cures_in_user_mode_are_for_the_users_own_manager() -> None:
    wrong = Projects(deviations=(Deviation("projctl-shop.service", "edited"),), manifests=1)
    assert "projctl apply --user" in (only(fleet.examine(wrong, flag=" --user")).cure or "")
    assert "projctl agent install --user" in (
        only(agent.examine(Agent(installed=False), "1.0", user_mode=True)).cure or ""
    )


def test_manifests_with_mistakes_are_told_once() -> None:
    found = only(projects(problems=("a.yaml:1:1: must be a mapping", "two", "three")))
    assert (found.check, found.severity) == ("manifests", "error")
    assert found.message == "a.yaml:1:1: must be a mapping (and 2 more)"
    assert bad(projects(manifests=0)) == [("manifests", "note")]


def test_servers_that_failed_are_late_or_had_to_be_killed() -> None:
    failed = replace(SHOP, state="failed", reason="exit-code: cannot bind")
    found = only(projects(servers=(Server(failed),)))
    assert (found.severity, found.message) == ("error", "failed: exit-code: cannot bind")
    late = replace(SHOP, state="running", idle_seconds=3700.0, would_stop_at=9_900.0)
    found = only(projects(servers=(Server(late),)))
    assert (found.check, found.severity) == ("idle", "warning")
    assert found.message == "not used for 1h 1min, should have been stopped 1min 40s ago"
    assert bad(projects(servers=(Server(replace(late, would_stop_at=9_990.0)),))) == []
    assert bad(projects(servers=(Server(replace(SHOP, state="down")),))) == [("servers", "note")]


@pytest.mark.parametrize(
    ("lately", "check", "message"),
    [
        (History(stop_timeouts=1), "stops", "killed once {}: it did not end within its stop_timeout of 30s"),
        (History(out_of_memory=3), "memory", "ended 3 times {} for want of memory"),
        (History(crashes=2), "crashes", "crashed 2 times {}"),
        (History(starts=9, slow=(3.5, 8.25)), "starts", "2 of 9 starts {} took 3 s or more, the slowest 8.2 s"),
    ],
)  # fmt: skip
def test_what_went_wrong_lately_is_told(lately: History, check: str, message: str) -> None:
    found = only(projects(servers=(Server(SHOP, history=lately, stop_limit=30.0),)))
    assert (found.check, found.project, found.message) == (
        check,
        "shop",
        message.format("in the last 7 days"),
    )
    assert found.cure


def test_the_history_is_made_of_events() -> None:
    told = [
        Event(1.0, "ready", "shop", figures={"seconds": 0.5}),
        Event(2.0, "stopped", "shop", "a", "idle"),
        Event(2.5, "stopped", "shop", "b", "max_runtime"),
        Event(3.0, "ready", "shop", figures={"seconds": 4.0}),
        Event(4.0, "oom", "shop", reason="oom"),
        Event(5.0, "crashed", "blog", reason="start_timeout"),
        Event(6.0, "stopped", "blog", reason="idle"),
    ]
    assert history.read(told, {"shop": {"a", "b"}}) == {
        "shop": History(starts=2, slow=(4.0,), out_of_memory=1, stop_timeouts=1),
        "blog": History(crashes=1),
    }
    assert bad(projects(blind="no library")) == [("history", "note")]


@pytest.mark.parametrize(
    ("start", "severity", "message"),
    [
        (Start(6.0, 0.1, 0.1, 30.0), "note", "6.2 s, 6.0 s of it preparation"),
        (Start(0.1, 7.0, 0.1, None), "note", "7.2 s, 7.0 s of it program start"),
        (
            Start(0.1, 0.1, 19.0, 32.0),
            "warning",
            "19.2 s, 19.0 s of it readiness (until it answered on its socket); systemd gives up after 32 s: raise",
        ),
    ],
)
def test_slow_starts_name_their_slowest_phase(start: Start, severity: str, message: str) -> None:
    found = only(projects(servers=(Server(SHOP, start=start),)))
    assert (found.check, found.severity, found.project) == ("starts", severity, "shop")
    assert message in found.message


def test_phases_of_a_start_are_read_from_systemd() -> None:
    day = "Sat 2026-11-21 13:24"
    shown = {
        "InactiveExitTimestamp": f"{day}:20.500000 UTC",
        "ActiveEnterTimestamp": f"{day}:27.250000 UTC",
        "ExecStart": f"{{ path=/a ; start_time=[{day}:21 UTC] ; stop_time=[n/a] }}",
        "ExecStartPost": f"{{ path=/b ; start_time=[{day}:21.250000 UTC] ; stop_time=[{day}:27.2 UTC] }}",
    }
    assert starts.read(shown, 30.0) == Start(0.5, 0.25, 6.0, 30.0)
    assert starts.read({**shown, "ExecStartPost": ""}, None) == Start(0.5, 6.25, 0.0)
    assert starts.read({**shown, "ActiveEnterTimestamp": ""}, None) is None
    earlier = f"{day}:19.000000 UTC"
    assert starts.read({**shown, "ActiveEnterTimestamp": earlier}, None) is None


def test_ranges_that_are_nearly_full() -> None:
    full = RangeUse("ports", 5001, 5100, 100, 95, 1, 0, 4)
    roomy = RangeUse("ports", 6001, 6100, 100, 0, 0, 0, 100)
    found = only(ports.examine(Ports(pools=(Pool("ports", (full,)),))))
    assert (found.check, found.severity) == ("ports", "warning")
    assert found.message == "ports: 4 of 100 ports free in 5001-5100"
    assert bad(ports.examine(Ports(pools=(Pool("ports", (full, roomy)),)))) == []


def test_ports_in_the_ephemeral_range_are_reserved_beside_those_that_are() -> None:
    policy = Policy((32768, 60999), frozenset({8080, *range(40000, 40003)}))
    overlap = Pool("ports", (RangeUse("ports", 32760, 32770, 11, 0, 0, 3, 8),))
    found = only(ports.examine(Ports((("shop", 40003), ("blog", 5001), ("px", 40001)), (overlap,), policy)))
    assert (found.check, found.severity, found.project) == ("ephemeral", "warning", "shop")
    assert "port 40003 is in the ephemeral range 32768-60999" in found.message
    assert "sysctl -w net.ipv4.ip_local_reserved_ports=8080,32768-32770,40000-40003;" in (found.cure or "")
    found = only(ports.examine(Ports(pools=(overlap,), policy=policy)))
    assert found.severity == "note" and "ports 32768-32770 are in" in found.message


@pytest.mark.parametrize("text", ["", "1", "1,3", "1-3", "8080,9000-9100,9102"])
def test_lists_of_ports_are_written_as_the_kernel_reads_them(text: str) -> None:
    assert ports.compact(parse_ports(text)) == text


def test_the_worst_finding_makes_the_exit_status() -> None:
    kinds: list[Severity] = ["note", "error", "warning", "ok"]
    assert worst(Finding("x", kind, "") for kind in kinds) == "error"
    assert worst(Finding("x", kind, "") for kind in kinds[2:]) == "warning"
    assert worst([]) == "ok"
    assert STATUS == {"ok": 0, "note": 0, "warning": 1, "error": 3}
