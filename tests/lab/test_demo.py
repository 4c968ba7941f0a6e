"""The demo, as a user runs it: the whole story, and the same manifest under `projctl try`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import remains

from projctl import manifest

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "examples/demo/projects.yaml"
PROJECTS = sorted(manifest.load([MANIFEST], layered=False)[0].projects)
KEYS = {"name", "state", "sockets", "pid", "memory_bytes", "cpu_seconds", "uptime_seconds", "idle_seconds"}
KEYS |= {"starts", "unit"}
#: Asks each port it is given and prints the status of the answer.
ASK = """
import json, subprocess, sys, urllib.request
listed = json.loads(subprocess.run(["projctl", "list", "--json"], capture_output=True, check=True).stdout)
for project in listed:
    port = project["sockets"][0]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        print(project["name"], project["state"], answer.status, len(answer.read()) > 0)
"""


def run(*words: str, cwd: Path = ROOT, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A command on this machine, with the status that it must end with."""
    result = subprocess.run(words, capture_output=True, text=True, timeout=150, check=False, cwd=cwd)
    assert result.returncode == status, result.stdout + result.stderr
    return result


def attempt(*words: str, cwd: Path = ROOT, status: int = 0) -> subprocess.CompletedProcess[str]:
    """`projctl try` of the demo in a network of its own, so that this machine's ports do not matter."""
    options = ("-f", str(MANIFEST), "--network", "private")
    return run(sys.executable, "-m", "projctl", "try", *options, "--", *words, cwd=cwd, status=status)


@pytest.fixture(scope="module")
def story() -> str:
    """What the story prints, after it has ended well and left no lab behind."""
    with subprocess.Popen(
        [sys.executable, "examples/demo/story.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        said, complaints = process.communicate(timeout=150)
    assert (process.returncode, complaints) == (0, ""), said + complaints
    assert remains.left(process.pid) == []
    return said


def test_make_demo_tells_this_story() -> None:
    assert run("make", "--no-print-directory", "-n", "demo").stdout.endswith("examples/demo/story.py\n")


def test_the_story_has_every_part(story: str) -> None:
    parts = [line for line in story.splitlines() if line and not line.startswith(" ")]
    assert len(parts) == 9
    assert not re.search(r"\x1b", story)


def test_the_story_tells_of_every_project(story: str) -> None:
    assert len(PROJECTS) == 3
    for name in PROJECTS:
        assert re.search(rf"^  {name} +asleep, listens on port \d+$", story, re.MULTILINE)
        assert (
            len(re.findall(rf"^  {name} +200, first byte of the first request +\S+ s$", story, re.MULTILINE))
            == 2
        )
        assert re.search(rf"^  {name} +running as process \d+, memory +[\d.]+ MiB$", story, re.MULTILINE)
        assert re.search(
            rf"^  {name} +stopped; idle: 5 s, since its last byte +[\d.]+ s$", story, re.MULTILINE
        )
        assert re.search(rf'^  projctl_starts_total{{project="{name}"}} [2-9]', story, re.MULTILINE)
        assert re.search(rf"Stopping project {name}: not used for", story)


def test_the_story_counts_processes(story: str) -> None:
    counts = re.findall(r"^  processes in the projects' control groups +(\d+)$", story, re.MULTILINE)
    assert [count != "0" for count in counts] == [False, True, False]


def test_no_project_is_stopped_before_its_idle_time(story: str) -> None:
    after = re.findall(r"idle: (\d+) s, since its last byte +([\d.]+) s$", story, re.MULTILINE)
    assert len(after) == 3
    # the agent's last look at a project can be that much before its last byte
    assert [pair for pair in after if float(pair[1]) < float(pair[0]) - 0.05] == []


def test_try_lists_the_projects_asleep() -> None:
    listed = json.loads(attempt("projctl", "list", "--json").stdout)
    assert [project["name"] for project in listed] == PROJECTS
    for project in listed:
        assert project.keys() >= KEYS
        assert project["state"] == "asleep"
        assert project["pid"] is None
        assert [socket.keys() >= {"name", "address", "port"} for socket in project["sockets"]] == [True]
    assert len({project["sockets"][0]["port"] for project in listed}) == 3


def test_try_answers_a_request_to_each() -> None:
    answers = attempt("python3", "-c", ASK).stdout.splitlines()
    assert answers == [f"{name} asleep 200 True" for name in PROJECTS]


def test_the_first_answers_are_what_the_projects_make() -> None:
    fetch = "for port in 5001 5002 5003; do curl -sf http://localhost:$port/ || exit; done"
    said = attempt("sh", "-c", fetch).stdout
    assert "<title>Guest book</title>" in said
    assert "Datasette" in said


def test_what_the_readme_tries_first_works() -> None:
    words = ("projctl", "try", "-f", "examples/demo/projects.yaml", "--", "projctl", "list", "--json")
    assert " ".join(words) in (ROOT / "README.md").read_text()
    program = str(Path(sys.executable).with_name("projctl"))
    listed = json.loads(run(program, *words[1:4], "--network", "private", *words[4:]).stdout)
    assert [(project["name"], project["state"]) for project in listed] == [
        (name, "asleep") for name in PROJECTS
    ]


def test_try_from_another_directory_ends_as_its_command_does(tmp_path: Path) -> None:
    assert attempt("sh", "-c", "projctl status library; exit 7", cwd=tmp_path, status=7).stdout.startswith(
        "library: asleep\n"
    )
