"""The lab itself: it boots a real systemd, and nothing of it stays, however it ends."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import remains

from projctl.diagnostics import ProjctlError
from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET = """\
[Socket]
ListenStream=127.0.0.1:5001
IPAccounting=yes
"""


def boots(lab: Lab) -> None:
    """It is up, whole and not degraded."""
    assert lab.run(["systemctl", "is-system-running", "--wait"]).stdout == "running\n"


def test_boot_ends_with_a_running_system_and_no_failed_unit(lab: Lab) -> None:
    boots(lab)
    assert lab.run(["cat", "/proc/1/comm"]).stdout == "systemd\n"
    assert lab.run(["systemctl", "--failed", "--quiet", "--plain"]).stdout == ""


def test_dbus_and_polkit_answer(lab: Lab) -> None:
    lab.run(["busctl", "call", "org.freedesktop.PolicyKit1", "/", "org.freedesktop.DBus.Peer", "Ping"])
    assert lab.run(["systemctl", "is-active", "dbus.service", "polkit.service"]).stdout == "active\nactive\n"


def test_journal_knows_the_unit_of_a_command(lab: Lab) -> None:
    word = secrets.token_hex(8)
    # it must still run when the journal looks it up
    lab.run(["systemd-cat", "sh", "-c", f"echo {word}; journalctl --sync"])
    (entry,) = lab.run(["journalctl", "--output=json", f"MESSAGE={word}"]).stdout.splitlines()
    assert json.loads(entry)["_SYSTEMD_UNIT"] == "lab-commands.service"


def test_only_the_labs_own_journal_is_shown(lab: Lab) -> None:
    boots_seen = lab.run(["journalctl", "--list-boots", "--quiet"]).stdout.splitlines()
    assert len(boots_seen) == 1


def counted(lab: Lab) -> int:
    shown = lab.run(["systemctl", "show", "--property=IPIngressBytes", "--value", "lab-test.socket"])
    return int(shown.stdout)


@pytest.fixture
def server(lab: Lab, shared: Path) -> Iterator[str]:
    """A socket-activated echo server in the lab; the name of its units without suffix."""
    program = shared / "echo.py"
    program.write_text(
        "import socket\nlistening = socket.socket(fileno=3)\n"
        "while True:\n    peer = listening.accept()[0]\n    peer.sendall(peer.recv(100))\n    peer.close()\n"
    )
    lab.write("/etc/systemd/system/lab-test.socket", SOCKET)
    lab.write(
        "/etc/systemd/system/lab-test.service", f"[Service]\nExecStart=/usr/bin/env python3 {program}\n"
    )
    lab.run(["systemctl", "start", "lab-test.socket"])
    yield "lab-test"
    lab.run(["systemctl", "stop", "lab-test.socket", "lab-test.service"])
    for suffix in ("socket", "service"):
        lab.file(f"/etc/systemd/system/lab-test.{suffix}").unlink()
    lab.run(["systemctl", "daemon-reload"])


def ask(lab: Lab, text: bytes = b"hello") -> bytes:
    with lab.connect(5001) as connection:
        connection.sendall(text)
        return connection.recv(100)


def test_ip_accounting_counts_each_request_on_the_socket_unit(lab: Lab, server: str) -> None:
    seen = [counted(lab)]
    for _ in range(3):
        assert ask(lab) == b"hello"
        seen.append(counted(lab))
    assert seen[0] == 0
    assert all(later > earlier for earlier, later in pairwise(seen))


def test_a_frozen_service_answers_only_after_its_thaw(lab: Lab, server: str) -> None:
    assert ask(lab) == b"hello"
    lab.run(["systemctl", "freeze", f"{server}.service"])
    with lab.connect(5001) as connection:
        connection.sendall(b"anybody?")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        lab.run(["systemctl", "thaw", f"{server}.service"])
        connection.settimeout(30)
        assert connection.recv(100) == b"anybody?"


def test_a_user_manager_starts_for_a_new_user(fresh_lab: Lab) -> None:
    fresh_lab.run(["useradd", "--create-home", "--uid", "4711", "visitor"])
    fresh_lab.run(["systemctl", "start", "user@4711.service"])
    state = fresh_lab.run(["systemctl", "--user", "is-system-running", "--wait"], user="visitor")
    assert state.stdout == "running\n"
    assert (
        fresh_lab.run(["sh", "-c", "id -un; echo $HOME"], user="visitor").stdout == "visitor\n/home/visitor\n"
    )
    boots(fresh_lab)


def test_run_passes_input_environment_and_status(lab: Lab) -> None:
    script = 'cat; printf "%s" "$WORD"; exit 7'
    environment = {"PATH": os.environ["PATH"], "WORD": "a b"}
    result = lab.run(["sh", "-c", script], input="in ", env=environment, check=False)
    assert (result.returncode, result.stdout) == (7, "in a b")
    with pytest.raises(ProjctlError, match="ended with status 7"):
        lab.run(["sh", "-c", "exit 7"])


def test_run_kills_all_a_command_started_when_its_time_is_over(lab: Lab) -> None:
    marker = f"3600.{secrets.randbelow(10**9)}"
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run(["sh", "-c", f"setsid sleep {marker} & sleep {marker}"], timeout=1)
    assert remains.wait_until(lambda: not remains.processes(marker))


def test_signals_reach_the_command_itself(lab: Lab) -> None:
    script = 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'
    with lab.popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(30) == 9


def test_writes_stay_in_the_lab_except_in_what_is_bound(lab: Lab, shared: Path, tmp_path: Path) -> None:
    (shared / "from-host").write_text("host")
    (tmp_path / "kept").write_text("host")
    lab.run(["sh", "-c", f"test -e {shared}/from-host && echo lab > {shared}/from-lab"])
    lab.run(["sh", "-c", f"echo lab > {tmp_path}/kept; echo lab > {tmp_path}/new; touch /etc/lab-was-here"])
    assert (shared / "from-lab").read_text() == "lab\n"
    assert (tmp_path / "kept").read_text() == "host"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert not Path("/etc/lab-was-here").exists()


def test_paths_below_run_are_shown_when_named(place_below_run: Path) -> None:
    seen, made = place_below_run / "seen", place_below_run / "made"
    seen.write_text("yes")
    with Lab.boot(overlays=[place_below_run]) as lab:
        assert lab.run(["cat", seen]).stdout == "yes"
        lab.run(["rm", seen])
    with Lab.boot(binds=[place_below_run]) as lab:
        lab.run(["touch", made])
    assert sorted(place_below_run.iterdir()) == [made, seen]


def test_a_missing_path_is_named() -> None:
    with pytest.raises(ProjctlError, match="cannot show /no/where in the lab: no such file or directory"):
        Lab.boot(binds=[Path("/no/where")])


def test_two_labs_at_once_do_not_meet(lab: Lab, fresh_lab: Lab, server: str) -> None:
    boots(lab)
    boots(fresh_lab)
    assert ask(lab) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        fresh_lab.connect(5001)
    assert lab.file("/etc/systemd/system/lab-test.socket").exists()
    assert not fresh_lab.file("/etc/systemd/system/lab-test.socket").exists()


def test_a_lab_that_powers_off_says_so(fresh_lab: Lab) -> None:
    fresh_lab.run(["systemctl", "poweroff", "--force", "--force"], check=False)
    fresh_lab.wait()
    with pytest.raises(ProjctlError, match="its systemd has ended"):
        fresh_lab.run(["true"])
