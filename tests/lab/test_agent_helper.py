"""The privileged helper: it does what it is asked to units of projctl, for root and the agent alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, properties, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

HELPER = "projctl-agent-helper.service"
COUNTING = "/run/systemd/system.control/projctl-{}.socket.d/50-IPAccounting.conf"
ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect("/run/projctl/helper.sock")
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    print(s.makefile().read(), end="")
"""
#: No file, no marker, another's name, ours but no project's, the pause of no project, no unit at all.
NOT_OURS = (
    "projctl-none.service", "projctl-hand.service", "dbus.service", "projctl-agent.service",
    "projctl-agent-pause@none.service", "../x",
)  # fmt: skip


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        stage = install_agent(lab)
        apply(
            lab, {"shop": server(listen=5001, idle="never"), "bad": server(run=["/bin/false"], listen=5002)}
        )
        stage.write("projctl-hand.service", "[Service]\nExecStart=/bin/sleep 1000\n")
        yield stage


def ask(
    stage: Stage, *orders: object, user: str | None = None, text: str | None = None
) -> list[dict[str, str]]:
    """The answers to these orders, or to this text."""
    lines = text if text is not None else "".join(f"{json.dumps(order)}\n" for order in orders)
    done = stage.lab.run(["/usr/bin/python3", "-c", ASK], input=lines, user=user)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_starts_and_resets_for_root_and_the_agent(stage: Stage) -> None:
    (answer,) = ask(stage, {"start": "projctl-shop.service"}, user="projctl-agent")
    assert answer == {"version": 1, "done": "projctl-shop.service"}
    wait_for(lambda: stage.state("shop") == "active", "the start that was ordered")
    assert stage.get(5001)
    stage.systemctl("start", "projctl-bad.service", check=False)
    wait_for(
        lambda: properties(stage.lab, "projctl-bad.service", "NRestarts")["NRestarts"] != "0", "a failure"
    )
    stage.systemctl("stop", "projctl-bad.socket")
    stage.systemctl("kill", "projctl-bad.service", check=False)
    ask(stage, {"reset": "projctl-bad.service"}, {"start": "projctl-bad.socket"})
    assert stage.state("bad") == "inactive"
    wait_for(lambda: stage.systemctl("is-active", "projctl-bad.socket") == "active", "the socket open")


@pytest.mark.parametrize("verb", ["start", "reset", "freeze", "thaw", "count"])
@pytest.mark.parametrize("unit", NOT_OURS)
def test_it_refuses_all_other_units(stage: Stage, verb: str, unit: str) -> None:
    (answer,) = ask(stage, {verb: unit})
    assert set(answer) == {"version", "error"}
    assert properties(stage.lab, "projctl-hand.service", "ActiveState")["ActiveState"] == "inactive"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense\n", "must be one line of JSON"),
        ("[" * 3000 + "\n", "must be one line of JSON"),
        ('{"start": 1}\n', "must name a service or socket of a project"),
        ('{"count": "projctl-shop.service"}\n', "cannot count that, must name a socket of a project"),
        ('{"count": "projctl-shop.warm.timer"}\n', "cannot count that, must name a socket of a project"),
        ('{"count": {"projctl-shop.socket": false}}\n', "must name a service or socket of a project"),
        (
            '{"stop": "projctl-shop.service"}\n',
            "unknown verb, must be one of: start, reset, freeze, reclaim, thaw, holders, count",
        ),
        ('{"start": "projctl-shop.service", "reset": "x"}\n', "must be an object with one verb and its unit"),
    ],
)
def test_it_understands_nothing_else(stage: Stage, text: str, error: str) -> None:
    (answer,) = ask(stage, text=text)
    assert answer["error"].startswith(error)


def test_it_has_a_socket_count_and_changes_nothing_else(stage: Stage) -> None:
    names = ("IPAccounting", "IPIngressBytes", "NoDelay", "FragmentPath", "NeedDaemonReload")
    before = properties(stage.lab, "projctl-shop.socket", *names)
    (answer,) = ask(stage, {"count": "projctl-shop.socket"}, user="projctl-agent")
    assert answer == {"version": 1, "done": "projctl-shop.socket"}
    assert properties(stage.lab, "projctl-shop.socket", *names) == before
    assert before["IPAccounting"] == "yes" and before["NeedDaemonReload"] == "no"
    lines = stage.lab.file(COUNTING.format("shop")).read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["[Socket]", "IPAccounting=yes"]


def test_a_socket_that_is_not_to_count_stays_so(stage: Stage) -> None:
    stage.write("projctl-bad.socket.d/no.conf", "[Socket]\nIPAccounting=no\n")
    stage.systemctl("daemon-reload")
    (answer,) = ask(stage, {"count": "projctl-bad.socket"})
    assert answer["error"] == "projctl-bad.socket has no IPAccounting=yes"
    assert properties(stage.lab, "projctl-bad.socket", "IPAccounting") == {"IPAccounting": "no"}
    assert not stage.lab.file(COUNTING.format("bad")).exists()


def test_nobody_else_can_ask(stage: Stage) -> None:
    done = stage.lab.run(["/usr/bin/python3", "-c", ASK], input="{}\n", user="nobody", check=False)
    assert "PermissionError" in done.stderr
    stage.lab.run(["chmod", "666", "/run/projctl/helper.sock"])
    # It does not hear them out: a word more and there were no answer to read.
    silent = "\n".join(line for line in ASK.splitlines() if not re.search("sendall|shutdown", line))
    answer = stage.lab.run(["/usr/bin/python3", "-c", silent], input="", user="nobody").stdout
    assert json.loads(answer)["error"] == "only root and the agent may ask"
    stage.lab.run(["chmod", "600", "/run/projctl/helper.sock"])


def test_a_unit_file_that_is_a_link_is_not_ours(stage: Stage) -> None:
    """Whoever may make links elsewhere must not choose what is started."""
    stage.write("/root/other.service", "# Rendered by projctl x\n[Service]\nExecStart=/bin/sleep 1000\n")
    stage.lab.run(["ln", "-s", "/root/other.service", "/etc/systemd/system/projctl-linked.service"])
    (answer,) = ask(stage, {"start": "projctl-linked.service"})
    assert answer["error"] == "projctl-linked.service has no unit file of projctl"


def test_it_has_only_the_rights_it_needs(stage: Stage) -> None:
    for unit in (HELPER, "projctl-agent-helper.socket"):
        done = stage.lab.run(
            ["systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}"], check=False
        )
        assert (done.stderr, done.returncode) == ("", 0)
    stage.lab.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", f"/etc/systemd/system/{HELPER}"]
    )
    ask(stage, {"thaw": "projctl-shop.service"})  # it runs for a while after each question
    pid = properties(stage.lab, HELPER, "MainPID")["MainPID"]
    status = stage.lab.run(["cat", f"/proc/{pid}/status"]).stdout
    (bounding,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    assert int(bounding, 16) == 1 << 3 | 1 << 5 | 1 << 19  # CAP_FOWNER, CAP_KILL, CAP_SYS_PTRACE
