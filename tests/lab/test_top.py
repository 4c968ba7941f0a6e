"""The live table on a real terminal: what it shows, its keys, and that the terminal is left as it was."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage
from steps import ENVIRONMENT, projctl
from terminal import ALTERNATE, HIDDEN, NORMAL, SHOWN, Terminal, running

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.lab.commands import Command

TOP = [sys.executable, "-m", "projctl", "top", "--delay", "0.3"]
MANY = 300


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    """A lab with 300 projects, of which one runs."""
    with Lab.boot() as lab:
        stage = Stage(lab)
        for number in range(MANY):
            stage.project(f"p{number:03}", str(5001 + number), start=False)
        stage.systemctl("daemon-reload")
        stage.systemctl("start", *(f"projctl-p{number:03}.socket" for number in range(MANY)))
        stage.get(5008)
        yield lab


def left_as_it_was(terminal: Terminal) -> bool:
    """Whether settings, screen and cursor are as before, and no trace of an error is seen."""
    text = terminal.read()
    assert ALTERNATE in text and HIDDEN in text
    assert text.rindex(NORMAL) > text.rindex(ALTERNATE) and text.rindex(SHOWN) > text.rindex(HIDDEN)
    assert terminal.settings() == terminal.before
    return True


def ended(terminal: Terminal, command: Command) -> int:
    terminal.wait(lambda _: command.poll() is not None)
    assert command.returncode is not None
    return command.returncode


def names(frame: list[str]) -> list[str]:
    return [line.split()[0] for line in frame if line.startswith("p") and line[1:4].isdigit()]


def test_keys_sort_filter_scroll_and_quit(fleet: Lab) -> None:
    with running(fleet, TOP, ENVIRONMENT) as (terminal, command):
        first = terminal.wait(lambda frame: len(names(frame)) == 20 and frame[-1].startswith("sort: n)ame"))
        assert first[0].startswith("300 servers: 1 running, 299 asleep; CPU ")
        assert first[2].split()[:3] == ["NAME", "STATE", "PID"] and len(first) == 24
        terminal.wait(lambda frame: names(frame)[:1] == ["p007"])  # what uses the CPU comes first
        assert terminal.settings() != terminal.before
        terminal.type("n")
        terminal.wait(lambda frame: names(frame) == [f"p{n:03}" for n in range(20)])
        terminal.type("\x1b[6~")
        terminal.wait(lambda frame: names(frame)[0] == "p020" and "21-40 of 300, by name" in frame[1])
        terminal.type("\x1b[F\x1b[A")
        terminal.wait(lambda frame: names(frame)[0] == "p279")
        terminal.type("r")
        terminal.wait(lambda frame: names(frame)[0] == "p299" and "reversed" in frame[1])
        terminal.type("r/running")
        terminal.wait(lambda frame: names(frame) == ["p007"] and "filter: running_" in frame[1])
        terminal.type("\x7f" * 7 + "p01\r")
        terminal.wait(lambda frame: names(frame) == [f"p01{n}" for n in range(10)])
        terminal.type("\x1b")
        terminal.wait(lambda frame: len(names(frame)) == 20)
        terminal.type("p")
        terminal.wait(lambda frame: frame[1].endswith("paused"))
        terminal.resize(10, 40)
        narrow = terminal.wait(lambda frame: len(names(frame)) == 6)
        assert max(map(len, narrow)) <= 40
        terminal.type("q")
        assert ended(terminal, command) == 0
        assert left_as_it_was(terminal)


@pytest.mark.parametrize(
    ("how", "status"), [("\x03", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), ("crash", 1)]
)
def test_the_terminal_is_left_as_it_was(fleet: Lab, how: str | signal.Signals, status: int) -> None:
    with running(fleet, TOP, ENVIRONMENT) as (terminal, command):
        terminal.wait(lambda frame: len(names(frame)) == 20)
        if isinstance(how, signal.Signals):
            fleet.run(["pkill", f"-{how.value}", "-f", "projctl top --delay"])
        elif how == "crash":
            fleet.write("/usr/local/bin/systemctl", "#!/bin/sh\necho '[{}]'\n", mode=0o755)
        else:
            terminal.type(how)
        try:
            assert ended(terminal, command) == status
        finally:
            fleet.run(["rm", "-f", "/usr/local/bin/systemctl"])
        assert left_as_it_was(terminal)


def test_a_systemd_that_does_not_answer_is_told_and_asked_again(fleet: Lab) -> None:
    with running(fleet, TOP, ENVIRONMENT) as (terminal, _):
        terminal.wait(lambda frame: len(names(frame)) == 20)
        fleet.write("/usr/local/bin/systemctl", "#!/bin/sh\necho no bus >&2\nexit 1\n", mode=0o755)
        try:
            terminal.wait(lambda frame: "failed: no bus" in frame[0] and len(names(frame)) == 20)
        finally:
            fleet.run(["rm", "-f", "/usr/local/bin/systemctl"])
        terminal.wait(lambda frame: frame[0].startswith("300 servers"))


def test_without_a_terminal_it_prints_one_table(fleet: Lab) -> None:
    # Each of its two looks asks for everything at once, however many projects there are.
    asked = '#!/bin/sh\necho $1 >>/run/asked\nexec /usr/bin/systemctl "$@"\n'
    fleet.write("/usr/local/bin/systemctl", asked, mode=0o755)
    piped = projctl(fleet, "top").stdout.splitlines()
    assert fleet.file("/run/asked").read_text().split() == ["list-units", "show", "list-sockets"] * 2
    fleet.run(["rm", "/usr/local/bin/systemctl"])
    assert piped[0].split("\t") == [
        "NAME", "STATE", "PID", "PORTS", "CPU%", "MEMORY", "UPTIME", "IDLE", "STARTS",
    ]  # fmt: skip
    assert len(piped) == 1 + MANY and "\x1b" not in "".join(piped)
    cells = dict(zip(piped[0].split("\t"), piped[8].split("\t"), strict=True))
    assert (cells["NAME"], cells["STATE"]) == ("p007", "running") and float(cells["CPU%"]) >= 0
    with running(fleet, [*TOP, "--once"], ENVIRONMENT, rows=5) as (terminal, command):
        assert ended(terminal, command) == 0
        assert ALTERNATE not in terminal.read() and terminal.text.count("\n") == 1 + MANY
        assert terminal.settings() == terminal.before
