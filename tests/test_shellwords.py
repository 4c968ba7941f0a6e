"""Splitting a command line, held against a real shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from projctl.shellwords import ShellSyntaxError, Variable, plain, split

#: All that a shell would expand or run; what is left must come out of both the same.
SPECIAL = "$`|&;<>()*?[]{}~!#=\\'\""
QUIET = st.characters(exclude_characters=SPECIAL + "\0\r", exclude_categories=["Cs", "Cc"])
BARE = st.text(QUIET | st.sampled_from(" \t\n"), max_size=12)
SINGLE = st.text(QUIET | st.sampled_from(SPECIAL.replace("'", "") + "\n"), max_size=8).map(lambda t: f"'{t}'")
DOUBLE = st.lists(
    QUIET | st.sampled_from([*"|&;<>()*?[]{}~#='\n", '\\"', "\\\\", "\\$", "\\`", "\\a"]), max_size=8
)
ESCAPED = st.characters(exclude_characters="\0\r", exclude_categories=["Cs", "Cc"]).map(lambda c: f"\\{c}")
LINES = st.lists(BARE | SINGLE | DOUBLE.map(lambda t: f'"{"".join(t)}"') | ESCAPED, max_size=6).map("".join)


def shell_words(text: str) -> list[str]:
    """The words as /bin/sh takes them."""
    script = f"set -f\nset -- {text}\nfor word; do printf '%s\\0' \"$word\"; done"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, timeout=20)
    return done.stdout.decode().split("\0")[:-1]


@settings(max_examples=150, deadline=None)
@given(LINES)
@example("a\\\nb 'c'\\''d' \"\" ''x")
@example("a#b")
def test_words_are_those_of_a_shell(text: str) -> None:
    # `set -- ` alone lists nothing, and a newline would end the command; a word in front keeps both apart.
    text = "word " + text.replace("\n", " ")
    assert [plain(word) for word in split(text)] == shell_words(text)


@given(st.text())
def test_any_text_is_split_or_refused(text: str) -> None:
    try:
        words = split(text)
    except ShellSyntaxError:
        return
    assert all(word for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        (" a\tb\n c ", (("a",), ("b",), ("c",))),
        ("a''", (("a",),)),
        ('""', (("",),)),
        ("$PORT", ((Variable("PORT"),),)),
        ("--port=${PORT}x", (("--port=", Variable("PORT"), "x"),)),
        ('"$A$B"', ((Variable("A"), Variable("B")),)),
        ("'$A' \\$A", (("$A",), ("$A",))),
        ("a$ $% 5$", (("a$",), ("$%",), ("5$",))),
        ("${", None),
        ("a\\\nb", (("ab",),)),
        ('"a\\\nb\\c"', (("ab\\c",),)),
        ("app:app[x] *.py {a,b}", (("app:app[x]",), ("*.py",), ("{a,b}",))),
    ],
)
def test_words(text: str, words: tuple[tuple[str | Variable, ...], ...] | None) -> None:
    if words is None:
        with pytest.raises(ShellSyntaxError):
            split(text)
    else:
        assert split(text) == words


@pytest.mark.parametrize("operator", ["|", "&", ";", "<", ">", "(", ")"])
def test_operators_need_a_shell_unless_quoted(operator: str) -> None:
    with pytest.raises(ShellSyntaxError, match="shell operator") as refused:
        split(f"a {operator} b")
    assert refused.value.hint is not None and "exec" in refused.value.hint
    assert split(f"a '{operator}' \\{operator} \"{operator}\"") == (
        ("a",),
        (operator,),
        (operator,),
        (operator,),
    )


@pytest.mark.parametrize(
    "text", ["$(id)", "`id`", '"`id`"', "$((1))", "${A:-b}", "${1}", "$1", "$@", '"$*"', "$?"]
)
def test_what_a_shell_would_fill_in_is_refused(text: str) -> None:
    with pytest.raises(ShellSyntaxError, match="cannot use"):
        split(f"a {text}")


def test_plain_shows_variables() -> None:
    assert plain(("a", Variable("B"), "c")) == "a${B}c"
