"""Arguments and environment reach the process byte for byte; systemd itself is the judge."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from steps import apply, projctl, projects, wait_for

if TYPE_CHECKING:
    from projctl.lab import Lab

DUMP = str(Path(__file__).with_name("dump.py"))
ROUNDS = itertools.count()
#: What systemd, a shell or a unit file could read as something else, and ordinary text around it.
PIECES = st.sampled_from(
    ["%", "%%", "%n", "$", "$$", "$HOME", "${HOME}", "\\", "\\n", "\\x41", '"', "'", ";", "\\;", "#", "=", " ", "\t",
     "\n", "[Service]", "\nExecStart=/bin/false\n", "-", "@", ":", "+", "!", "|", "é", "日本", "\U0001f600", "\u2028",
     "a", "Z", "0", "{", "}", "~", "*", "", "\u00a0", "\ufeff", "%h", "$1", "&&", "`id`", "$(id)", "\\\n"]
)  # fmt: skip
#: The manifest refuses those, as systemd does.
NONCHARACTERS = [chr(n) for n in range(0xFDD0, 0xFDF0)] + [
    chr(n << 16 | m) for n in range(17) for m in (0xFFFE, 0xFFFF)
]
TEXT = st.lists(PIECES, max_size=6).map("".join) | st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"], include_characters="\t\n", exclude_characters=NONCHARACTERS
    ),
    max_size=12,
)
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).map(lambda name: f"T_{name}")
PROJECT = st.tuples(st.lists(TEXT, max_size=5), st.dictionaries(NAMES, TEXT, max_size=4))


@settings(
    max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large,
                           HealthCheck.large_base_example],
)  # fmt: skip
@given(wanted=st.lists(PROJECT, min_size=25, max_size=25))
def test_byte_for_byte(lab: Lab, wanted: list[tuple[list[str], dict[str, str]]]) -> None:
    directory = f"/var/tmp/quoting-{next(ROUNDS)}"
    lab.run(["mkdir", "-p", directory])
    names = [f"quote-{number}" for number in range(len(wanted))]
    apply(lab, {
        name: {"path": directory, "server": "native", "listen": "unix", "env": environment,
               "run": [sys.executable, DUMP, *arguments, f"{directory}/{name}.json"]}
        for name, (arguments, environment) in zip(names, wanted, strict=True)
    })  # fmt: skip
    projctl(lab, "start", *names)
    reports = [lab.file(f"{directory}/{name}.json") for name in names]
    wait_for(lambda: all(report.exists() for report in reports), 60)
    for report, (arguments, environment) in zip(reports, wanted, strict=True):
        said = json.loads(report.read_text())
        assert [bytes.fromhex(text).decode() for text in said["arguments"][2:-1]] == arguments
        got = {bytes.fromhex(n).decode(): bytes.fromhex(v).decode() for n, v in said["environment"].items()}
        assert {name: got.get(name) for name in environment} == environment
    apply(lab, {})


def test_a_program_is_found_whatever_its_path(lab: Lab) -> None:
    directory = "/var/tmp/a $b ${PORT} $$ 100%n; c\u2028e"
    lab.run(["mkdir", "-p", directory])
    lab.run(["cp", "/usr/bin/sleep", f"{directory}/serve$PORT"])
    apply(lab, {"odd": {"path": "/var/tmp", "server": "native", "listen": 3479, "user": "nobody",
                        "env": {"A": "x\u2028User=root\u2028ExecStart=/bin/false"},
                        "run": [f"{directory}/serve$PORT", "60"]}})  # fmt: skip
    projctl(lab, "start", "odd")
    pid = projects(lab)["odd"]["pid"]
    process = lab.file(f"/proc/{pid}")
    wait_for(lambda: b"serve" in (process / "cmdline").read_bytes())
    assert (process / "cmdline").read_bytes().split(b"\0")[:2] == [f"{directory}/serve$PORT".encode(), b"60"]
    apply(lab, {})


def test_variables_are_filled_in_by_systemd(lab: Lab) -> None:
    target = "/var/tmp/variables.json"
    run = f"{sys.executable} {DUMP} $PORT port=${{PORT}} \"$GREETING!\" '$PORT' \\$PORT 100% {target}"
    apply(lab, {"vars": {"path": "/var/tmp", "server": "native", "listen": 3477, "run": run,
                         "env": {"GREETING": "two  words; 'x'"}}})  # fmt: skip
    projctl(lab, "start", "vars")
    wait_for(lambda: lab.file(target).exists())
    said = json.loads(lab.file(target).read_text())
    words = [bytes.fromhex(text).decode() for text in said["arguments"][2:-1]]
    assert words == ["3477", "port=3477", "two  words; 'x'!", "$PORT", "$PORT", "100%"]
    apply(lab, {})
