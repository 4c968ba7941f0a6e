"""`projctl try`: its command's exit status and streams, and that nothing stays, however it ends."""

from __future__ import annotations

import contextlib
import os
import pty
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import remains

from projctl.lab import Lab, kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

TRY = [sys.executable, "-m", "projctl", "try", "--network", "private"]


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


def test_try_works_where_systemd_is_the_first_process(lab: Lab) -> None:
    result = lab.run([*TRY, "--", "systemctl", "is-system-running", "--wait"], check=False)
    assert (result.stderr, result.stdout, result.returncode) == ("", "running\n", 0)
    assert lab.run(["find", "/sys/fs/cgroup", "-name", "projctl-lab-*"]).stdout == ""


def test_try_names_the_missing_package(fresh_lab: Lab) -> None:
    nspawn = fresh_lab.run(["which", "systemd-nspawn"]).stdout.strip()
    fresh_lab.run(["rm", nspawn])
    result = fresh_lab.run([*TRY, "--", "true"], check=False)
    expected = "projctl: cannot boot the lab: must have the packages systemd-container installed\n"
    assert (result.returncode, result.stderr) == (1, expected)


def test_try_applies_a_manifest_and_its_project_answers(place_below_run: Path) -> None:
    (place_below_run / "app.py").write_text(
        "def app(environ, start):\n    start('200 OK', [])\n    return [b'at your service']\n"
    )
    manifest = place_below_run / "projects.yaml"
    manifest.write_text(
        "version: 1\nprojects:\n  web:\n    path: .\n    run: gunicorn app:app\n    listen: 5001\n"
    )
    client = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:5001').read().decode())"
    result = attempt("-f", str(manifest), "--", sys.executable, "-c", client)
    assert (result.stderr, result.stdout, result.returncode) == ("", "at your service\n", 0)


def test_try_tells_what_is_wrong_with_a_manifest_and_boots_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "projects.yaml"
    manifest.write_text("version: 1\nprojects: {web: {path: ., runs: gunicorn}}\n")
    result = attempt("-f", str(manifest), "--", "true")
    assert result.returncode == 1
    assert 'unknown key "runs"' in result.stderr


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
        assert remains.wait_until(lambda: remains.processes(name))

    def left(self) -> list[str]:
        return remains.left(self.process.pid, self.marker)

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.end()


@pytest.fixture
def before() -> Iterator[frozenset[str]]:
    """The machine before; compared with what it is afterwards."""
    taken = remains.snapshot()
    yield taken
    assert remains.new(taken) == frozenset()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_nothing_is_left_when_a_signal_ends_the_group(
    number: signal.Signals, status: int, before: frozenset[str]
) -> None:
    with Attempt() as running:
        running.wait_for_command()
        os.killpg(running.process.pid, number)
        assert running.end() == status
        assert running.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_a_signal_ends_projctl_alone(
    number: signal.Signals, before: frozenset[str]
) -> None:
    with Attempt(script="setsid sleep 3600 &") as running:
        running.wait_for_command()
        running.process.send_signal(number)
        assert running.end() == 128 + number
        assert running.left() == []


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.2, 0.35])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_ends_while_booting(
    number: signal.Signals, delay: float, before: frozenset[str]
) -> None:
    with Attempt() as running:
        running.wait_for_supervisor()
        time.sleep(delay)
        os.killpg(running.process.pid, number)
        assert running.end() == (128 + number if number != signal.SIGKILL else -number)
        assert remains.wait_until(lambda: not running.left()), running.left()


@pytest.mark.parametrize("whole_group", [False, True])
def test_nothing_is_left_after_kill_9(whole_group: bool, before: frozenset[str]) -> None:
    with Attempt(script="setsid sleep 3600 &") as running:
        running.wait_for_command()
        if whole_group:
            os.killpg(running.process.pid, signal.SIGKILL)
        else:
            running.process.kill()
        assert running.end() == -signal.SIGKILL
        assert remains.wait_until(lambda: not running.left()), running.left()


def test_the_next_lab_sweeps_up_after_a_killed_supervisor(before: frozenset[str]) -> None:
    with Attempt() as running:
        running.wait_for_command()
        name = f"projctl-lab-{running.process.pid}-"
        (supervisor,) = [
            int(found.split()[1].rstrip(":"))
            for found in remains.processes(name)
            if "projctl.lab.supervisor" in found
        ]
        os.kill(supervisor, signal.SIGKILL)
        assert running.end() == 1
        assert remains.wait_until(lambda: not remains.processes(name, running.marker))
        with Lab.boot():
            assert running.left() == []


def test_a_lab_sweeps_nothing_up_of_a_container_beside_it() -> None:
    """Who made a control group there cannot be seen from here, and may be about to use it."""
    gone = 1 << 22  # one more than the greatest process id
    top = next(remains.hierarchies())
    ours, theirs = (top / f"projctl-lab-{gone}-{token}" for token in (f"a-{kernel.pid_namespace()}", "b-1"))
    with contextlib.ExitStack() as stack:
        for place in (ours, theirs):
            place.mkdir()
            stack.callback(lambda place=place: place.exists() and place.rmdir())
        with Lab.boot():
            assert (ours.exists(), theirs.exists()) == (False, True)


@pytest.mark.parametrize("script", ["true", "exit 3"])
def test_nothing_is_left_after_a_command(script: str, before: frozenset[str]) -> None:
    with Attempt(script=f"setsid sleep 3600 &\n{script}\nexit") as running:
        running.end()
        assert running.left() == []


def test_without_a_command_it_waits_for_ctrl_c(before: frozenset[str]) -> None:
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


def test_ctrl_c_on_a_terminal_is_the_commands(before: frozenset[str]) -> None:
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
