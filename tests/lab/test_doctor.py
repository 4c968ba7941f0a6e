"""The doctor on a real systemd with real defects, one after the other, and after each cure without it."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from agent_stage import install_user_agent, wait_for
from steps import ENVIRONMENT, ROOT, apply, get, projctl, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = "/etc/systemd/system"
SLOW = f"{ROOT}/tests/lab/activated_server.py"


@pytest.fixture(scope="module")
def sick() -> Iterator[Lab]:
    """A lab with an agent and projects, of which one starts slowly and has an ephemeral port."""
    with Lab.boot() as lab:
        projctl(lab, "agent", "install")
        slow = server(listen=33000, run=[sys.executable, SLOW, "--start-delay", "3"], health="/")
        deaf = {
            "path": "/",
            "run": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"],
            "server": "native",
        }
        deaf |= {"listen": 5003, "stop_timeout": "1s"}
        apply(lab, {"slow": slow, "shop": server(listen=5001), "deaf": deaf}, ports="5001-5002")
        yield lab


def findings(lab: Lab, status: int | None = None) -> dict[tuple[str, str | None], dict[str, Any]]:
    """What is not ok, by check and project."""
    answer = projctl(lab, "doctor", "--json", check=False)
    shown = json.loads(answer.stdout)
    severity = shown["worst"]
    assert answer.returncode == {"ok": 0, "note": 0, "warning": 1, "error": 3}[severity]
    assert status in (None, answer.returncode)
    found = [finding for finding in shown["findings"] if finding["severity"] != "ok"]
    assert all(finding["cure"] for finding in found)
    return {(finding["check"], finding["project"]): finding for finding in found}


def cure(lab: Lab, command: str) -> None:
    """Do what a cure says."""
    lab.run(["sh", "-c", command], env=ENVIRONMENT)


def test_a_dead_agent_is_found_and_cured(sick: Lab) -> None:
    sick.run(["systemctl", "stop", "projctl-agent.socket", "projctl-agent.service"])
    dead = findings(sick, 3)["agent", None]
    assert "no idle project is stopped" in dead["message"]
    command, _, _ = dead["cure"].partition(";")
    cure(sick, command)
    wait_for(lambda: ("agent", None) not in findings(sick), "an agent that answers")


def test_a_unit_edited_by_hand_is_found_and_cured(sick: Lab) -> None:
    cure(sick, f"printf '[Service]\\nNice=3\\n' >>{UNITS}/projctl-shop.service")
    edited = findings(sick)["units", "shop"]
    assert "written after the last apply" in edited["message"]
    projctl(sick, "apply", "--no-preflight")
    assert ("units", "shop") not in findings(sick)


def test_a_changed_manifest_and_a_broken_one_are_found(sick: Lab) -> None:
    manifest = "/etc/projctl/projects.d/test.yaml"
    cure(sick, f"cp {manifest} /tmp/kept; sed -i 's/5001$/5002/' {manifest}")
    assert "not as its manifest says" in findings(sick)["units", "shop"]["message"]
    cure(sick, f"echo 'more: [' >>{manifest}")
    assert findings(sick, 3)["manifests", None]["message"].startswith(f"{manifest}:")
    cure(sick, f"cp /tmp/kept {manifest}")
    assert not [key for key in findings(sick) if key[0] in ("units", "manifests")]


def test_an_ephemeral_port_is_reserved_by_the_line_that_is_shown(sick: Lab) -> None:
    cure(sick, "sysctl -w net.ipv4.ip_local_reserved_ports=40000-40001")
    found = findings(sick)["ephemeral", "slow"]
    assert "port 33000 is in the ephemeral range" in found["message"]
    command, _, _ = found["cure"].partition(";")
    assert command == "sysctl -w net.ipv4.ip_local_reserved_ports=33000,40000-40001"
    assert "projctl doctor" in projctl(sick, "check").stderr
    cure(sick, command)
    assert ("ephemeral", "slow") not in findings(sick)
    assert "ephemeral" not in projctl(sick, "check").stderr


def test_a_slow_start_a_failed_server_and_one_that_had_to_be_killed_are_found(sick: Lab) -> None:
    get(sick, 33000)
    found = findings(sick)["starts", "slow"]
    seconds = re.fullmatch(r"the last start took ([\d.]+) s, ([\d.]+) s of it readiness .*", found["message"])
    assert seconds and float(seconds[1]) >= float(seconds[2]) >= 2.5
    broken = "[Service]\nRestart=no\nExecStart=\nExecStart=/bin/false\n"
    sick.write(f"{UNITS}/projctl-shop.service.d/broken.conf", broken)
    sick.run(["systemctl", "daemon-reload"])
    sick.run(["systemctl", "start", "projctl-shop.service"], check=False)
    wait_for(lambda: ("servers", "shop") in findings(sick, 3), "the failed server")
    # And when they are well again.
    sick.run(["systemctl", "start", "projctl-deaf.service"])
    projctl(sick, "stop", "deaf")
    wait_for(lambda: ("stops", "deaf") in findings(sick), "the server that had to be killed")
    found = findings(sick)
    assert found["stops", "deaf"]["message"].startswith(
        "killed once in the last 7 days: it did not end within"
    )
    assert found["crashes", "shop"]["message"] == "crashed once in the last 7 days"


def test_pools_and_copies_and_text(sick: Lab) -> None:
    apply(sick, {"a": server(listen="auto"), "b": server(listen="auto")}, ports="5001-5002")
    assert findings(sick)["ports", None]["message"].startswith("ports: 0 of 2 ports free")
    cure(sick, "printf '#!/bin/sh\\n' >/usr/local/bin/projctl; chmod +x /usr/local/bin/projctl")
    shadowed = findings(sick)["copies", None]
    assert "/usr/local/bin/projctl (unknown version)" in shadowed["message"]
    said = projctl(sick, "doctor", check=False)
    assert "warning  copies" in said.stdout and said.stderr == "" and "cure: keep one" in said.stdout


def test_a_user_has_a_doctor_of_their_own() -> None:
    with Lab.boot() as lab:
        stage = install_user_agent(lab, "ann")
        home = f"/home/{stage.user}"
        lab.write(f"{home}/.config/projctl/projects.d/own.yaml", "version: 1\nprojects: {}\n")
        uid = stage.runtime.rpartition("/")[2]
        environment = ENVIRONMENT | {"HOME": home, "XDG_RUNTIME_DIR": f"/run/user/{uid}", "USER": "ann"}
        words = [sys.executable, "-m", "projctl", "doctor", "--user", "--json"]
        lab.run(["systemctl", "--user", "start", "projctl-agent.service"], user="ann")
        answer = lab.run(words, user="ann", env=environment, check=False)
        found = {finding["check"]: finding for finding in json.loads(answer.stdout)["findings"]}
        assert found["agent"]["message"] == "runs and answers"
        assert found["linger"]["severity"] == "note"
        assert found["descriptors"]["severity"] == "ok"
        assert answer.stderr == "" and answer.returncode in (0, 1)
