"""The lab itself: it boots a real systemd, and nothing of it stays, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import secrets
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import traces

from projctl.diagnostics import ProjctlError
from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

TRY = [sys.executable, "-m", "projctl", "try", "--network", "private"]
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
    lab.run(["logger", word])
    lab.run(["journalctl", "--sync"])
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
    assert traces.wait_until(lambda: not traces.processes(marker))


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


def test_paths_below_run_are_shown_when_named(tmp_path: Path) -> None:
    place = Path("/run") / f"projctl-test:{secrets.token_hex(4)}"
    place.mkdir()
    try:
        (place / "seen").write_text("yes")
        with Lab.boot(overlays=[place]) as lab:
            assert lab.run(["cat", f"{place}/seen"]).stdout == "yes"
            lab.run(["rm", f"{place}/seen"])
        with Lab.boot(binds=[place]) as lab:
            lab.run(["touch", f"{place}/made"])
        assert sorted(path.name for path in place.iterdir()) == ["made", "seen"]
    finally:
        for path in place.iterdir():
            path.unlink()
        place.rmdir()


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


# --- projctl try -----------------------------------------------------------------------------------------


def attempt(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TRY, *words], capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_exit_status_is_the_commands(script: str, status: int) -> None:
    assert attempt("--", "sh", "-c", script).returncode == status


def test_try_passes_standard_streams_directory_and_path(tmp_path: Path) -> None:
    script = 'cat; pwd; echo "$PATH" | cut -d: -f1; echo problem >&2'
    result = attempt("--", "sh", "-c", script, input="typed\n", cwd=tmp_path)
    assert result.stdout == f"typed\n{tmp_path}\n{Path(sys.executable).parent}\n"
    assert result.stderr == "problem\n"
    assert result.returncode == 0


def test_try_needs_root() -> None:
    program = (
        "import os, projctl.cli.try_; from projctl.cli import main; os.setgid(65534); os.setuid(65534);"
        "main(['try', '--', 'true'])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (1, "projctl: cannot boot the lab: must be root\n")


def test_try_names_the_missing_package(fresh_lab: Lab) -> None:
    nspawn = fresh_lab.run(["which", "systemd-nspawn"]).stdout.strip()
    fresh_lab.run(["rm", nspawn])
    result = fresh_lab.run([*TRY, "--", "true"], check=False)
    expected = "projctl: cannot boot the lab: must have the packages systemd-container installed\n"
    assert (result.returncode, result.stderr) == (1, expected)


class Attempt:
    """A `projctl try` in a process group of its own, whose command is known by a marker."""

    def __init__(self, *, command: bool = True, script: str = "") -> None:
        self.marker = f"3600.{secrets.randbelow(10**9)}"
        script += f"\necho ready\nexec sleep {self.marker}"
        words = ["--", "sh", "-c", script.lstrip("; ")] if command else []
        self.process = subprocess.Popen(
            [*TRY, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait_for_command(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate(timeout=60)
        assert self.left()

    def wait_for_supervisor(self) -> None:
        name = f"projctl-lab-{self.process.pid}-"
        assert traces.wait_until(lambda: traces.processes(name))

    def left(self) -> list[str]:
        return traces.left(self.process.pid, self.marker)

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.end()


@pytest.fixture
def before() -> Iterator[traces.Snapshot]:
    """The machine before; compared with what it is afterwards."""
    taken = traces.snapshot()
    yield taken
    assert traces.snapshot() == taken


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_nothing_is_left_when_a_signal_ends_the_group(
    number: signal.Signals, status: int, before: traces.Snapshot
) -> None:
    with Attempt() as running:
        running.wait_for_command()
        os.killpg(running.process.pid, number)
        assert running.end() == status
        assert running.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_a_signal_ends_projctl_alone(
    number: signal.Signals, before: traces.Snapshot
) -> None:
    with Attempt(script="setsid sleep 3600 &") as running:
        running.wait_for_command()
        running.process.send_signal(number)
        assert running.end() == 128 + number
        assert running.left() == []


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.2, 0.35])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_ends_while_booting(
    number: signal.Signals, delay: float, before: traces.Snapshot
) -> None:
    with Attempt() as running:
        running.wait_for_supervisor()
        time.sleep(delay)
        os.killpg(running.process.pid, number)
        assert running.end() == (128 + number if number != signal.SIGKILL else -number)
        assert traces.wait_until(lambda: not running.left()), running.left()


@pytest.mark.parametrize("whole_group", [False, True])
def test_nothing_is_left_after_kill_9(whole_group: bool, before: traces.Snapshot) -> None:
    with Attempt(script="setsid sleep 3600 &") as running:
        running.wait_for_command()
        if whole_group:
            os.killpg(running.process.pid, signal.SIGKILL)
        else:
            running.process.kill()
        assert running.end() == -signal.SIGKILL
        assert traces.wait_until(lambda: not running.left()), running.left()


def test_the_next_lab_sweeps_up_after_a_killed_supervisor(before: traces.Snapshot) -> None:
    with Attempt() as running:
        running.wait_for_command()
        name = f"projctl-lab-{running.process.pid}-"
        (supervisor,) = [
            int(found.split()[1].rstrip(":"))
            for found in traces.processes(name)
            if "projctl.lab.supervisor" in found
        ]
        os.kill(supervisor, signal.SIGKILL)
        assert running.end() == 1
        assert traces.wait_until(lambda: not traces.processes(name, running.marker))
        with Lab.boot():
            assert running.left() == []


@pytest.mark.parametrize("script", ["true", "exit 3"])
def test_nothing_is_left_after_a_command(script: str, before: traces.Snapshot) -> None:
    with Attempt(script=f"setsid sleep 3600 &\n{script}\nexit") as running:
        running.end()
        assert running.left() == []


def test_without_a_command_it_waits_for_ctrl_c(before: traces.Snapshot) -> None:
    with Attempt(command=False) as running:
        assert running.process.stdout is not None
        shown = []
        while "Ctrl-C ends it" not in (line := running.process.stdout.readline()):
            assert line
            shown.append(line)
        assert any("nsenter --target" in line for line in shown)
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end() == 0
        assert running.left() == []


def test_ctrl_c_on_a_terminal_is_the_commands(before: traces.Snapshot) -> None:
    script = 'test -t 0 || exit 1; trap "echo caught; exit 7" INT; echo ready; while :; do sleep 0.05; done'
    ours, theirs = pty.openpty()
    words = ["setsid", "--ctty", "--wait", *TRY, "--", "sh", "-c", script]
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = read_until(ours, b"ready")
    os.write(ours, b"\x03")
    said += read_until(ours, b"caught")
    assert process.wait(60) == 7
    os.close(ours)
    assert b"booting the lab" in said


def read_until(terminal: int, word: bytes) -> bytes:
    said = b""
    with contextlib.suppress(OSError):
        while word not in said:
            said += os.read(terminal, 1024)
    assert word in said
    return said
