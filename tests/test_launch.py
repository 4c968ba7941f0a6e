"""Preflight reads units back: what was rendered comes out as the command, the variables and the sockets."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projctl import unitfile
from projctl.preflight import launch
from projctl.preflight.verdict import Verdict, advice, message
from projctl.shellwords import Variable

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n"))
SOCKET = "[Socket]\nListenStream=\nListenStream={}\nFileDescriptorName={}\n"


def unit(service: str, role: str = "server", head: str = "") -> str:
    return (
        f"[Unit]\n{head}\n[Service]\nExecStart=/bin/x\n{service}\n[X-Projctl]\nRole={role}\nAdapter=native\n"
    )


def read(service: str, **more: str) -> launch.Launch:
    found = launch.of({"projctl-shop.service": unit(service, **more)}, "shop")
    assert found
    return found


@given(st.lists(TEXT, min_size=1))
@example(["$PORT", "${PORT}", "$$", "%i", "%%", "\\x41", "'", '"', ";", "", " "])
def test_words_come_back(words: list[str]) -> None:
    line = unitfile.exec_line([(word,) for word in words])
    found = read(f"ExecStart=\nExecStart={line}")
    assert launch.expand(found.words, {"PORT": "1"}) == words


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), TEXT))
def test_variables_come_back(variables: dict[str, str]) -> None:
    lines = (f"Environment={unitfile.assignment(name, value)}" for name, value in variables.items())
    assert dict(read("\n".join(lines)).environment) == variables


def test_variables_are_filled_in_as_systemd_does() -> None:
    line = unitfile.exec_line([("/$PORT",), ("--port=", Variable("PORT"), "$"), (Variable("NONE"),)])
    words = [*read(f"ExecStart=\nExecStart={line}").words, "$MANY", "$NONE"]
    assert launch.expand(words, {"PORT": "80", "MANY": "a  b"}) == ["/$PORT", "--port=80$", "", "a", "b"]


def test_a_template_written_by_hand_is_read_too() -> None:
    words = read('ExecStart=\nExecStart=-/bin/srv \'a b\' c\\x20d "e\\"f" %i').words
    assert words == ("/bin/srv", "a b", "c d", 'e"f', "")


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_no_value_sets_the_user_or_the_command(separator: str) -> None:
    value = f"x{separator}User=root{separator}ExecStart=/bin/harm"
    for written in (unitfile.assignment("A", value), f'"A={value}"'):
        found = read(f"Environment={written}\nUser=shop")
        assert (found.words, found.user, found.environment) == (("/bin/x",), "shop", (("A", value),))


def test_sockets_come_in_order_with_their_kind() -> None:
    units = {
        "projctl-shop.service": unit(
            "", head="Requires=projctl-shop.socket projctl-shop.b.socket other.service"
        ),
        "projctl-shop.socket": SOCKET.format("3400", "a"),
        "projctl-shop.b.socket": SOCKET.format("/run/b.sock", "b"),
        "projctl-other.service": unit(""),
    }
    found = launch.of(units, "shop")
    assert found and found.sockets == (
        launch.Stand("a", "::", "3400"),
        launch.Stand("b", None, "/run/b.sock"),
    )
    units["projctl-shop.socket"] = SOCKET.format("[::1]:3400", "a")
    units["projctl-shop.b.socket"] = SOCKET.format("127.0.0.1:3401", "b")
    found = launch.of(units, "shop")
    assert found and [stand.host for stand in found.sockets] == ["::1", "127.0.0.1"]


def test_the_first_of_several_instances_is_read() -> None:
    units = {
        f"projctl-shop@{k}.service": unit(f"WorkingDirectory=/srv/%i\nEnvironment=K={k}") for k in (1, 0)
    }
    found = launch.of(units, "shop")
    assert found and found.directory == "/srv/0" and found.environment == (("K", "0"),)


def test_of_a_proxied_project_the_backend_is_started() -> None:
    units = {
        "projctl-shop.service": unit("User=proxy", role="proxy"),
        "projctl-shop.backend.service": unit("Environment=HOST=::1\nUser=shop", role="backend"),
    }
    found = launch.of(units, "shop")
    assert found and (found.user, found.host, found.sockets) == ("shop", "::1", ())
    assert launch.of(units, "other") is None


def test_env_files_are_read_as_systemd_does() -> None:
    text = r"""
# comment=1
; comment=2
PLAIN=a b  # c
QUOTED="a \"b\" \$c \d"'e\f'
EMPTY=
  SPACED  =  x y~~
MORE=one \
two
1BAD=x
no assignment
LINES="a
b"
EQUALS=a=b
LAST=end"""
    assert launch.read_variables(text.replace("~", " ")) == {
        "PLAIN": "a b  # c",
        "QUOTED": 'a "b" $c \\de\\f',
        "EMPTY": "",
        "SPACED": "x y",
        "MORE": "one two",
        "LINES": "a\nb",
        "EQUALS": "a=b",
        "LAST": "end",
    }


def test_every_verdict_has_its_message() -> None:
    said = {
        message(verdict, proxied=False)
        for verdict in (
            Verdict("own-port", port=8000, given=9000),
            Verdict("own-port", port=9000, given=9000),
            Verdict("exited", status=3, said=("one", "two")),
            Verdict("exited", status=-11),
            Verdict("left", status=0),
            Verdict("never", seconds=30.0),
            Verdict("never", seconds=0.5, text="admin"),
            Verdict("not-ready", seconds=2),
            Verdict("broken", text="permission denied"),
        )
    }
    assert said == {
        "opened its own port 8000 instead of taking its socket",
        "opened $PORT instead of taking its socket",
        "exited with status 3 before it answered; it said last:\n    one\n    two",
        "was ended by SIGSEGV before it answered",
        "exited with status 0 and left its server in the background",
        "never answered within 30 s",
        'never answered on its socket "admin" within 0.5 s',
        "answered, but did not say READY=1 within 2 s",
        "cannot be started: permission denied",
    }
    assert message(Verdict("own-port", port=80, given=81), proxied=True) == "listens on 80, not on $PORT"


def test_a_cure_for_the_wrapper_comes_first() -> None:
    assert advice(Verdict("own-port"), "leave it out", proxied=False) == "leave it out"
    assert "server: proxy" in str(advice(Verdict("own-port"), None, proxied=False))
    asked = str(advice(Verdict("own-port"), None, "let it listen", proxied=False))
    assert asked.startswith("let it listen; or write ") and "server: proxy" in asked
    assert "--port $PORT" in str(advice(Verdict("own-port"), "leave it out", proxied=True))
    assert advice(Verdict("exited"), None, proxied=False) is None
