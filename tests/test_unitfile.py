"""Unit text: what is written is read back as the same, and nothing in a value can end its line."""

from __future__ import annotations

import pytest
from hypothesis import given
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


def test_variables_and_literals() -> None:
    word = ("$5 of ", Variable("PORT"), " 100%")
    assert unitfile.exec_word(word) == '"$$5 of ${PORT} 100%%"'


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
