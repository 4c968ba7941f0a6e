"""How problems print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl.diagnostics import Mark, Problem, ProjctlError, ordered, printable, raise_errors

MARK = Mark("shop.yaml", 7, 13, "    admin: 80a", 3)


def test_the_form() -> None:
    problem = Problem(
        "must be a port", Mark("shop.yaml", 7, 12, "    admin: 80a", 3), "$.projects.shop", "try auto"
    )
    assert str(problem) == (
        "shop.yaml:7:12: $.projects.shop: must be a port\n"
        "    7 |     admin: 80a\n"
        "      |            ^^^\n"
        "hint: try auto"
    )


def test_without_a_place() -> None:
    assert str(Problem("cannot read x")) == "cannot read x"
    assert str(Problem("odd", path="$", severity="warning")) == "$: warning: odd"


@given(
    st.text(),
    st.text(),
    st.text(alphabet="ab\t\x1b\x00\u0300é🙂", max_size=300),
    st.integers(1, 400),
    st.integers(0, 400),
)
def test_nothing_drives_the_terminal(file: str, message: str, source: str, column: int, width: int) -> None:
    text = str(Problem(message, Mark(file, 1, column, source, width), "$", message))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_the_caret_stands_under_its_character() -> None:
    for source in ("\tab\x1b[2Jc: x", "c", "x" * 500 + "c: x" + "y" * 500, "é\u200bc: x"):
        column = source.index("c") + 1
        lines = str(Problem("odd", Mark("f", 1, column, source, 1))).splitlines()
        assert lines[1][lines[2].index("^")] == "c"
        assert lines[2].count("^") == 1
        assert len(lines[1]) < 200


def test_printable() -> None:
    assert printable("a\x1b[31mé\n\x00") == "a\\x1b[31mé\n\\x00"
    assert printable("\udcff") == "\\udcff"


def test_reading_order_and_no_doubles() -> None:
    last, first, placeless = Problem("b", MARK), Problem("a", MARK._replace(line=2)), Problem("c")
    assert ordered([placeless, last, first, last]) == [first, last, placeless]


def test_only_errors_stop() -> None:
    raise_errors([Problem("odd", severity="warning")])
    with pytest.raises(ProjctlError) as raised:
        raise_errors([Problem("odd", severity="warning"), Problem("wrong", MARK)])
    assert [problem.message for problem in raised.value.problems] == ["wrong", "odd"]
    assert MARK.place == "shop.yaml:7"
