"""Unit text: what is written is read back as the same, and nothing in a value can end its line."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projctl import unitfile
from projctl.shellwords import Variable

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n"))


@given(st.lists(TEXT, min_size=1))
def test_a_command_stays_on_its_line(words: list[str]) -> None:
    line = unitfile.exec_line([(word,) for word in words])
    assert "\n" not in line and not line.endswith("\\")
    assert unitfile.parse(f"[Service]\nExecStart={line}\n") == {"Service": [("ExecStart", line.strip())]}


@given(TEXT)
def test_an_assignment_stays_on_its_line(value: str) -> None:
    line = unitfile.assignment("NAME", value)
    assert "\n" not in line and line.count("%") % 2 == 0


#: Ends of lines for some readers; control characters cannot stand in a value.
ODD = st.text(st.sampled_from("\x85\u2028\u2029\x1c\u00a0\\\n\t %;#[]=\"'aé")) | TEXT
HARMFUL = "x\u2028User=root\u2029ExecStart=/bin/harm\x85[Service]"


@given(st.lists(ODD, min_size=1), st.dictionaries(st.from_regex(r"[A-Z]{1,4}", fullmatch=True), ODD))
@example([HARMFUL], {"A": HARMFUL})
def test_what_is_written_is_read_and_nothing_else(words: list[str], variables: dict[str, str]) -> None:
    """Also by a reader that takes every separator of Unicode for the end of a line."""
    command = unitfile.exec_line([(word,) for word in words])
    written = [("Environment", unitfile.assignment(name, value)) for name, value in variables.items()]
    written = [("ExecStart", command), *written, ("User", "shop")]
    text = "".join(["[Service]\n", *(f"{key}={value}\n" for key, value in written)])
    assert unitfile.parse(text) == {"Service": written}
    assert len(re.split("[\n\x85\u2028\u2029]", text)) == len(written) + 2


@given(
    ODD.filter(
        lambda text: not re.search("[\n\r]", text) and text and text[-1] != "\\" and text == text.strip()
    )
)
@example(HARMFUL)
def test_a_rest_of_line_is_read_as_it_was(text: str) -> None:
    written = f"[Service]\nWorkingDirectory={unitfile.rest_of_line(text)}\nUser=shop\n"
    found = unitfile.parse(written)
    assert found == {"Service": [("WorkingDirectory", text.replace("%", "%%")), ("User", "shop")]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1 \\\n2\nB=3", [("A", "1  2"), ("B", "3")]),
        ("A=1\\\n# no\n  ; no\n2\nB=3", [("A", "1 2"), ("B", "3")]),
        ("A=1\\\\\nB=3", [("A", "1\\\\"), ("B", "3")]),
        ("A=1\\ \nB=3", [("A", "1\\"), ("B", "3")]),
        ("A=1\\\n\nB=3", [("A", "1"), ("B", "3")]),
        ("# A \\\nB=3", [("B", "3")]),
        ("A=1\r\nB=3\\", [("A", "1"), ("B", "3")]),
        ("A=\u00a01\u2028", [("A", "\u00a01\u2028")]),
    ],
)
def test_lines_are_those_of_systemd(text: str, found: list[tuple[str, str]]) -> None:
    assert unitfile.parse(f"[S]\n{text}") == {"S": found}


def test_variables_and_literals() -> None:
    word = ("$5 of ", Variable("PORT"), " 100%")
    assert unitfile.exec_word(word) == '"$$5 of ${PORT} 100%%"'


def test_a_path_with_a_dollar_is_written_twice() -> None:
    words = (("/a$b/${c}",), ("$5",))
    assert unitfile.exec_line(words) == '@"/a$b/${c}" "/a$$b/$${c}" "$$5"'


@pytest.mark.parametrize("text", ["a\nb", "a\\", " a", "a ", "a\rb"])
def test_a_rest_of_line_refuses_what_it_cannot_carry(text: str) -> None:
    with pytest.raises(ValueError, match="cannot write"):
        unitfile.rest_of_line(text)


@pytest.mark.parametrize("path", ["/a:b", "/a'b", '/a"b', "/a\\b", "/a\nb"])
def test_a_bound_path_refuses_what_is_read_twice(path: str) -> None:
    with pytest.raises(ValueError, match="cannot bind"):
        unitfile.path_word(path)


def test_values_follow_resets() -> None:
    sections = unitfile.parse("[Socket]\nListenStream=1\nListenStream=\nListenStream=2\nListenStream=3\n")
    assert unitfile.values(sections, "Socket", "ListenStream") == ["2", "3"]


@given(TEXT)
def test_the_marker_is_one_line(origin: str) -> None:
    line = unitfile.marker("1", origin)
    assert unitfile.is_ours(line) and len(line.splitlines()) == 1
