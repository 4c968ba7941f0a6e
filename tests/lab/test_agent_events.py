"""Events out of the journal, as the command line and programs get them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import ENVIRONMENT, apply, let_everybody_in, projctl, server

from projctl import announce
from projctl.lab import Lab
from projctl_agent import messages

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = [sys.executable, "-m", "projctl_agent", "events"]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


def events(stage: Stage, *words: str) -> list[dict[str, Any]]:
    """What the agent's program prints, as root and with no agent asked."""
    stage.lab.run(["journalctl", "--sync"])
    text = stage.lab.run([*WORDS, "--json", *words], env=ENVIRONMENT).stdout
    return [json.loads(line) for line in text.splitlines()]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in found]


def test_the_life_of_a_run(stage: Stage) -> None:
    stage.project("web", "5001", MinUptimeSec="0")
    stage.get(5001)
    invocation = stage.invocation("web")
    stage.wait_until_asleep("web")
    stage.get(5001)
    wait_for(lambda: stage.status()["web"]["would_stop_at"], "a look at it")
    assert stage.get(5001, "/crash") == ""
    stage.wait_until_asleep("web")
    wait_for(lambda: "bytes_out" in events(stage)[-1], "what the run that crashed used")
    first, ready, idle_stop, stopping, stopped, *others = events(stage, "--project", "web")
    assert names([first, ready, idle_stop, stopping, stopped]) == (
        ["starting", "ready", "idle_stop", "stopping", "stopped"]
    )
    assert names(others) == ["starting", "ready", "crashed"]
    for event in (first, ready, idle_stop, stopping, stopped):
        assert (event["project"], event["instance"], event["unit"]) == ("web", None, "projctl-web.service")
        assert event["invocation"] == invocation
    assert ready["seconds"] > 0
    assert idle_stop["uptime_seconds"] >= idle_stop["idle_seconds"] >= 1
    assert (idle_stop["reason"], stopped["reason"], others[-1]["reason"]) == ("idle", "idle", "crash")
    assert others[-1]["exit"]
    assert stopped["cpu_seconds"] > 0 and others[-1]["cpu_seconds"] > 0
    assert stopped["bytes_in"] > 0
    assert stopped["uptime_seconds"] == pytest.approx(stopped["time"] - ready["time"], abs=0.05)
    assert events(stage, "--since", f"@{others[0]['time']}", "--project", "web") == others
    assert events(stage, "--until", f"@{stopped['time']}", "--project", "web")[-1] == stopped
    assert events(stage, "--project", "other") == []
    wait_for(lambda: stage.stops("web") == {"idle": 1, "crash": 1}, "the same in the metrics")


def sleeps(pid: int) -> bool:
    """Whether nothing wakes a process, and those that it has started, for a while."""

    def switches() -> list[str]:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        texts = [Path(f"/proc/{one}/status").read_text().splitlines() for one in (pid, *children)]
        return [line for text in texts for line in text if "ctxt_switches" in line]

    before = switches()
    time.sleep(0.5)
    return switches() == before


def test_following_goes_on_and_ends_with_its_reader(stage: Stage) -> None:
    stage.project("new", "5002", IdleStopSec="infinity")
    words = [*WORDS, "--follow", "--project", "new"]
    pipe = subprocess.PIPE
    with stage.lab.popen(words, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as process:
        assert process.stdout and process.stderr
        pid = stage.get(5002)
        assert " new starting" in str(process.stdout.readline())
        assert " new ready seconds=" in str(process.stdout.readline())
        assert stage.get(5002) == pid
        stage.systemctl("stop", "projctl-new.service")
        assert " new stopping" in str(process.stdout.readline())
        assert " new stopped manual " in str(process.stdout.readline())
        # What others do does not keep it busy.
        stage.project("noise", "5012", IdleStopSec="infinity")
        stage.get(5012)
        try:
            wait_for(lambda: sleeps(process.pid), "it asleep")
        except AssertionError:
            process.kill()
            raise
        process.stdout.close()
        assert process.wait(10) == 0
        assert not process.stderr.read()


def subscribe(stage: Stage, **more: object) -> IO[bytes]:
    """A subscription over the agent's socket, as a file of lines."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(stage.lab.file("/run/projctl/agent.sock")))
        client.sendall(json.dumps({"get": "events", **more}).encode() + b"\n")
        lines = client.makefile("rb")
    assert json.loads(lines.readline()) == {"version": 1, "subscribed": True}
    return lines


def take(lines: IO[bytes], count: int) -> list[dict[str, Any]]:
    return [json.loads(lines.readline()) for _ in range(count)]


def test_subscribers_get_the_past_and_then_what_happens(stage: Stage) -> None:
    stage.project("sub", "5003", IdleStopSec="60")
    begin = time.time()
    live = subscribe(stage)
    for _ in range(2):
        stage.get(5003)
        wait_for(lambda: stage.status()["sub"]["would_stop_at"], "a look at it")
        stage.systemctl("stop", "projctl-sub.service")
    told = take(live, 8)
    assert names(told) == ["starting", "ready", "stopping", "stopped"] * 2
    assert all("bytes_out" in event for event in told if event["event"] == "stopped")
    with (
        closing(subscribe(stage, since=begin)) as all_,
        closing(subscribe(stage, after=told[2]["cursor"])) as rest,
    ):
        assert take(all_, 8) == told
        assert take(rest, 5) == told[3:]
        stage.get(5003)
        more = take(live, 2)
        assert names(more) == ["starting", "ready"]
        assert take(all_, 2) == take(rest, 2) == more
    assert [event | {"cursor": ""} for event in events(stage, "--project", "sub")] == (
        [event | {"cursor": ""} for event in told + more]
    )
    live.close()
    wait_for(lambda: stage.ask({"get": "health"})["health"]["subscribers"] == 0, "no subscriber")


def test_who_may_not_read_the_journal_is_told(stage: Stage) -> None:
    let_everybody_in(stage.lab)
    done = stage.lab.run(WORDS, env=ENVIRONMENT, user="nobody", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("projctl-agent: cannot read the journal: ")


def test_the_command_line_shows_them(stage: Stage) -> None:
    apply(stage.lab, {"shop": server(listen=5004), "pair": server(listen=5005, instances=2)})
    stage.get(5004)
    stage.systemctl("start", "projctl-pair@0.service", "projctl-pair@1.service")
    stage.systemctl("stop", "projctl-shop.service")
    stage.lab.run(["journalctl", "--sync"])
    heading, *rows = projctl(stage.lab, "events", "shop", "pair@1").stdout.splitlines()
    assert heading.split("\t") == ["TIME", "NAME", "EVENT", "REASON", "WHAT"]
    cells = [row.split("\t") for row in rows]
    assert sorted({cell[1] for cell in cells}) == ["pair@1", "shop"]
    assert [cell[2:4] for cell in cells if cell[1] == "shop" and cell[2] != "apply"] == [
        ["starting", "-"], ["ready", "-"], ["stopping", "-"], ["stopped", "manual"],
    ]  # fmt: skip
    shown = projctl(stage.lab, "events", "shop", "--json", "--since", "-1h").stdout.splitlines()
    assert [json.loads(line) for line in shown] == events(stage, "--project", "shop")
    assert projctl(stage.lab, "events", "shop", "--json", "-n", "1").stdout.splitlines() == shown[-1:]
    refused = projctl(stage.lab, "events", "--since", "soon", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith('projctl: must be a time: "soon"')


def test_the_command_line_follows_and_ends_quietly(stage: Stage) -> None:
    apply(stage.lab, {"shop": server(listen=5004), "tail": server(listen=5006, idle="never")})
    words = [sys.executable, "-m", "projctl", "events", "tail", "-f", "--json"]
    pipe = subprocess.PIPE
    with stage.lab.popen(words, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as process:
        assert process.stdout and process.stderr
        wait_for(
            lambda: stage.lab.run(["pgrep", "-f", "events --json --since"], check=False).stdout, "it follows"
        )
        stage.get(5006)
        assert [json.loads(process.stdout.readline())["event"] for _ in range(2)] == ["starting", "ready"]
        process.stdout.close()
        assert process.wait(10) == 0
        assert not process.stderr.read()
    wait_for(
        lambda: not stage.lab.run(["pgrep", "-f", "events --json"], check=False).stdout, "nothing left of it"
    )


def test_the_journal_explains_every_entry_of_ours(stage: Stage) -> None:
    """As `journalctl -x` does, out of the same database."""
    identities = {value for value in vars(messages).values() if re.fullmatch("[0-9a-f]{32}", str(value))}
    identities.add(announce.ORDER)
    assert len(identities) >= 5
    text = stage.lab.run(["journalctl", "--dump-catalog", *sorted(identities)]).stdout
    assert set(re.findall(r"^-- ([0-9a-f]{32})$", text, re.MULTILINE)) == identities
    assert text.count("\nSubject: ") == len(identities)
