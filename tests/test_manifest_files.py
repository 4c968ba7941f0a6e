"""Files that are no manifest, or an odd one: each is loaded or refused, whatever is in it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from manifest_stage import ONE, load, refused, write

from projctl import manifest


def test_what_is_no_manifest(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    (tmp_path / "loop").symlink_to("loop")
    wanted = {
        tmp_path: "it is a directory",
        tmp_path / "none.yaml": "no such file or directory",
        tmp_path / "loop": "too many levels of symbolic links",
        tmp_path / "a\0b": "embedded null byte",
        large: "it must be at most 16 MiB long",
    }
    for file, message in wanted.items():
        (problem,) = refused([file])
        assert problem.message == f"cannot read {file}: {message}"
        assert problem.mark is None


def test_a_file_without_permission(tmp_path: Path) -> None:
    (file,) = write(tmp_path, a=ONE)
    file.chmod(0)
    code = (
        "import os, sys, pathlib; from projctl import manifest\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "print(*manifest.load([pathlib.Path(sys.argv[1])], layered=True)[1])"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"cannot read {file}: permission denied\n"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# only a comment\n", b"---\n", b"null", b"\xef\xbb\xbf"])
def test_empty_files(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(data)
    (problem,) = refused([file])
    assert problem.message == "must be a mapping, not empty"


def test_a_byte_order_mark_and_other_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + ONE.replace("\n", "\r\n").encode())
    assert str(load([file]).mark("shop")) == f"{file}:3:3"
    file.write_text("version: 1\nprojects:\n  # é\u2028  shop: {path: /srv, run: 5}\n")
    (problem,) = refused([file])
    assert problem.mark and problem.mark.source == "  shop: {path: /srv, run: 5}"


@pytest.mark.parametrize("data", ["{version: 1}".encode("utf-16"), b"\x80", b"a\xc3", b"\xed\xa0\x80"])
def test_other_encodings(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(data)
    (problem,) = refused([file])
    assert problem.message.startswith("must be UTF-8 text, the byte 0x")


def test_both_parsers_say_the_same(tmp_path: Path) -> None:
    text = "version: 1\nprojects: {é🙂: &a {x: [1, 'b', \"c\"]}}\nx: |\n  y\n  z\n? k\n: *a\nw:\n- 1\n"
    marks = [
        [
            (type(e), e.start_mark.line, e.start_mark.column, e.end_mark.column)
            for e in yaml.parse(text, Loader=loader)
        ]
        for loader in (yaml.SafeLoader, manifest.LOADER)
    ]
    assert marks[0] == marks[1]


@pytest.mark.parametrize("depth", [30, 10_000, 200_000])
def test_any_depth_ends(depth: int, tmp_path: Path) -> None:
    files = write(
        tmp_path,
        a="version: 1\nx: " + "[" * depth + "]" * depth,
        b="version: 1\nx: " + "{a: " * depth + "}" * depth,
    )
    for file in files:
        (problem,) = refused([file])
        assert ("levels deep" in problem.message) == (depth > 30)


TOKENS = st.sampled_from(
    [
        *"\n\n\n :-?,[]{}#&*!|>'\"%@`~<=\t\\",
        *("  ", "\n  ", "\n    ", ": ", "- ", "&a ", "*a", "<<: ", "!!str ", "--- ", "...\n", "auto"),
        *(
            "version: 1",
            "projects:",
            "defaults:",
            "shop:",
            "path: .",
            "run: x",
            "listen: ",
            "idle: ",
            "env: ",
        ),
        *("null", "true", "1", "1.5", "9" * 30, "\x00", "\x85", "\u2028", "\ufeff", "é", "🙂", "\\ud800"),
        *('"\\x00"', '"\\ud800"'),
    ]
)
SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "path",
        "run",
        "listen",
        "idle",
        "limits",
        "env",
        "ports",
        "user",
        "sandbox",
        "env_file",
        "server",
        "access_log",
    ]
)


def survives(data: bytes) -> None:
    """Loading bytes raises nothing, finds something wrong or a fleet, and every problem can be printed."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "m.yaml"
        file.write_bytes(data)
        for layered in (True, False):
            fleet, problems = manifest.load([file, file], layered=layered)
            assert fleet.projects or problems or b"version" in data
            for problem in problems:
                assert problem.message.startswith(("must ", "cannot ", "unknown ", "repeated ")), problem
                assert "".join(str(problem).splitlines()).isprintable()
                assert problem.mark, problem
                assert problem.mark.column <= len(problem.mark.source) + 1


@settings(max_examples=200, deadline=None)
@given(st.lists(TOKENS, max_size=30).map("".join))
@example("version: 1\nprojects: {a: {path: '\ud7ff', run: \"\\ud800\"}}")
def test_any_text_is_loaded_or_refused(text: str) -> None:
    survives(text.encode())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_loaded_or_refused(data: bytes) -> None:
    survives(data)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, SHAPES, max_size=5), st.dictionaries(KEYS, SHAPES, max_size=3), SHAPES)
def test_any_shape_is_loaded_or_refused(
    project: dict[str, object], defaults: dict[str, object], other: object
) -> None:
    root = {"version": 1, "defaults": defaults, "projects": {"shop": project, "blog": other}}
    survives(yaml.safe_dump(root, allow_unicode=True).encode())
