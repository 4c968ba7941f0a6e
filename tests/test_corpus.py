"""The corpus: each manifest in it says in `## assert-…` lines what must become of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from projctl import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.iterdir() if path.suffix in (".yaml", ".yml"))
ASSERTION = re.compile(r"^## (! *)?(assert-\S*) ?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What one `projctl render` left: its exit status, its messages, and the units it wrote."""

    status: int
    stderr: str
    units: dict[str, str] = field(default_factory=dict)

    def unit(self, name: str) -> str:
        assert name in self.units, f"there is no unit {name}, only: {' '.join(sorted(self.units))}"
        return self.units[name]

    def values(self, name: str, section: str, key: str) -> list[str]:
        """Every value that `key` is given in `section` of the unit, in order."""
        found, current = [], ""
        for line in self.unit(name).splitlines():
            if heading := re.fullmatch(r"\[(.*)\]", line):
                current = heading[1]
            elif current == section and line.startswith(f"{key}="):
                found.append(line.removeprefix(f"{key}="))
        return found


def has_failed(outcome: Outcome, argument: str) -> bool:
    assert not argument
    assert not outcome.units, "it failed, and yet wrote units"
    return outcome.status == 1


def stderr_contains(outcome: Outcome, argument: str) -> bool:
    assert argument
    return argument in outcome.stderr


def stderr_is_line(outcome: Outcome, argument: str) -> bool:
    return argument in outcome.stderr.splitlines()


def has_unit(outcome: Outcome, argument: str) -> bool:
    return argument in outcome.units


def key_is(outcome: Outcome, argument: str) -> bool:
    unit, section, key, *value = argument.split(" ", 3)
    return "".join(value) in outcome.values(unit, section, key)


def key_contains(outcome: Outcome, argument: str) -> bool:
    unit, section, key, value = argument.split(" ", 3)
    return any(value in found for found in outcome.values(unit, section, key))


def no_key(outcome: Outcome, argument: str) -> bool:
    unit, section, key = argument.split(" ")
    return not outcome.values(unit, section, key)


VERBS: dict[str, Callable[[Outcome, str], bool]] = {
    "assert-failed": has_failed,
    "assert-stderr-contains": stderr_contains,
    "assert-stderr-is-line": stderr_is_line,
    "assert-has-unit": has_unit,
    "assert-key-is": key_is,
    "assert-key-contains": key_contains,
    "assert-no-key": no_key,
}


def check(text: str, outcome: Outcome) -> None:
    """Hold every assertion of `text` against the outcome; what succeeds must do so in silence."""
    assertions = ASSERTION.findall(text)
    assert assertions, "the file asserts nothing"
    assert len(assertions) == len(re.findall(r"(?m)^\s*##", text)), "a ## line is no assertion"
    verbs = {verb for _, verb, _ in assertions}
    assert verbs <= VERBS.keys(), f"unknown verb, must be one of: {', '.join(VERBS)}"
    if "assert-failed" not in verbs:
        assert outcome.status == 0, outcome.stderr
        assert not outcome.stderr or any("stderr" in verb for verb in verbs), outcome.stderr
    for negated, verb, argument in assertions:
        argument = argument.replace("@DIR@", str(CORPUS))
        assert VERBS[verb](outcome, argument) is not bool(negated), shown(verb, argument, outcome)


def shown(verb: str, argument: str, outcome: Outcome) -> str:
    """A failed assertion with the unit it names, or else with the messages."""
    name = argument.partition(" ")[0]
    return f"{verb} {argument}\n{outcome.units.get(name, outcome.stderr)}"


@pytest.fixture(autouse=True)
def state(tmp_path: Path) -> Iterator[Path]:
    """A port registry of the test's own."""
    before = os.environ.get("PROJCTL_STATE_DIR")
    os.environ["PROJCTL_STATE_DIR"] = str(tmp_path / "state")
    yield tmp_path / "state"
    if before is None:
        del os.environ["PROJCTL_STATE_DIR"]
    else:
        os.environ["PROJCTL_STATE_DIR"] = before


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_manifest_becomes_what_it_says(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units = tmp_path / "units"
    with pytest.raises(SystemExit) as ended:
        cli.main(["render", "-f", str(file), "-o", str(units), "--systemd-version", "252"])
    written = {path.name: path.read_text() for path in units.iterdir()} if units.is_dir() else {}
    assert isinstance(ended.value.code, int)
    outcome = Outcome(ended.value.code, capsys.readouterr().err, written)
    check(file.read_text(errors="replace"), outcome)


def test_no_manifest_is_left_out() -> None:
    assert {path for path in CORPUS.rglob("*") if path.is_file()} >= set(FILES)
    assert len(FILES) >= 60
    assert not [path for path in CORPUS.rglob("*.y*ml") if path.parent != CORPUS]


UNITS = {"a.socket": "[Unit]\nA=1\n[Socket]\nA=2\nA=3 4\n"}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("version: 1\n", Outcome(0, "")),
        ("## assert-nonsense x\n", Outcome(0, "")),
        ("## says nothing\n## assert-has-unit a.socket\n", Outcome(0, "", UNITS)),
        ("## assert-failed\n", Outcome(0, "")),
        ("## assert-failed\n", Outcome(2, "")),
        ("## assert-failed\n", Outcome(1, "", UNITS)),
        ("## ! assert-failed\n", Outcome(1, "")),
        ("## assert-has-unit b.socket\n", Outcome(0, "", UNITS)),
        ("## assert-has-unit a.socket\n", Outcome(1, "no", UNITS)),
        ("## assert-has-unit a.socket\n", Outcome(0, "warning: x", UNITS)),
        ("## ! assert-has-unit a.socket\n", Outcome(0, "", UNITS)),
        ("## assert-key-is a.socket Unit A 2\n", Outcome(0, "", UNITS)),
        ("## assert-key-is b.socket Unit A 1\n", Outcome(0, "", UNITS)),
        ("## ! assert-key-is b.socket Unit A 1\n", Outcome(0, "", UNITS)),
        ("## ! assert-key-is a.socket Socket A 3 4\n", Outcome(0, "", UNITS)),
        ("## assert-key-contains a.socket Socket A 5\n", Outcome(0, "", UNITS)),
        ("## assert-no-key a.socket Socket A\n", Outcome(0, "", UNITS)),
        ("## assert-stderr-contains x\n", Outcome(0, "y")),
        ("## assert-stderr-is-line x\n", Outcome(0, "x y")),
    ],
)
def test_an_assertion_can_fail(text: str, outcome: Outcome) -> None:
    with pytest.raises(AssertionError):
        check(text, outcome)


def test_assertions_hold() -> None:
    text = """
## assert-has-unit a.socket
## ! assert-has-unit b.socket
## assert-key-is a.socket Unit A 1
## assert-key-is a.socket Socket A 3 4
## ! assert-key-is a.socket Socket A 3
## assert-key-contains a.socket Socket A 3
## assert-no-key a.socket Unit B
"""
    check(text, Outcome(0, "", UNITS))
