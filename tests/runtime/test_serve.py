"""The command: what it serves where, and one line for each thing that keeps it from serving."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import APPS, Connect, ask, listener, running

from projctl import adapters

if TYPE_CHECKING:
    from collections.abc import Iterator


def refusal(*arguments: str, status: int = 1, **environment: str) -> str:
    """The one line of a start that fails."""
    with running(*arguments, environment=environment) as runner:
        assert runner.end() == status
    *_, line = runner.lines
    assert "Traceback" not in "".join(runner.lines)
    return line.removeprefix("projctl-serve: ")


@pytest.fixture
def two_ports() -> Iterator[range]:
    """Two neighbouring ports, of which the first is busy."""
    while True:
        with listener() as busy, socket.socket() as neighbour:
            first = busy.getsockname()[1]
            try:
                neighbour.bind(("127.0.0.1", first + 1))
            except (OSError, OverflowError):
                continue
            neighbour.close()
            yield range(first, first + 2)
            return


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing:app"], "cannot import the application \"missing:app\": No module named 'missing'"),
        (
            ["broken:app"],
            'cannot import the application "broken:app": ZeroDivisionError: division by zero (broken.py, line 3)',
        ),
        (["shop:nothing"], 'cannot import the application "shop:nothing": shop has no "nothing"'),
        (["shop"], 'must name an application as MODULE:APP or MODULE:FACTORY(), not "shop"'),
        (["faulty:NUMBER"], 'cannot serve "http": it must be callable, not int'),
        (
            ["faulty:either"],
            'cannot tell whether "http" is ASGI or WSGI: say it with --interface asgi or --interface wsgi',
        ),
        (["faulty:no_start"], 'cannot start "http": RuntimeError: no database'),
        (
            ["--lifespan", "on", "faulty:no_lifespan"],
            'cannot start "http": AssertionError',
        ),
        (
            ["shop:app", "shop:admin"],
            'cannot serve two applications as "http": name each, as in NAME=MODULE:APP',
        ),
        (
            ["a=shop:app", "b=shop:app", "--listen", "80"],
            "must say for which application --listen 80 is, as in a=80",
        ),
        (["a=shop:app", "--listen", "b=80"], 'unknown application "b" in --listen, must be one of: a'),
        (["shop:app", "--interface", "wsgo"], 'unknown interface "wsgo", must be one of: asgi, auto, wsgi'),
        (
            ["shop:app", "--listen", "all"],
            'must listen on a port, a range "a-b", "HOST:PORT" or "/a/path.sock", not on "all"',
        ),
        (
            ["shop:app", "--listen", "9-1"],
            'must be ports from 0 to 65535, ranges with the lower one first, not "9-1"',
        ),
        (
            ["shop:app", "--listen", "/nowhere/a.sock"],
            'cannot open /nowhere/a.sock for "http": No such file or directory',
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_keeps_it_from_serving(arguments: list[str], message: str) -> None:
    assert refusal(*arguments) == message


@pytest.mark.parametrize("words", [["--threads", "0"], ["--linger", "soon"], [], ["--sockets"]])
def test_wrong_usage(words: list[str]) -> None:
    with running(*words) as runner:
        assert runner.end() == 2
    assert runner.lines[0].startswith("usage: projctl-serve ")


def test_a_traceback_is_shown_on_request() -> None:
    for words, environment in ((["--traceback"], {}), ([], {"PYTHONTRACEBACK": "1"})):
        with running("broken:app", *words, environment=environment) as runner:
            assert runner.end() == 1
        assert "    VALUE = 1 / 0" in runner.lines


def test_sockets_of_another_process_are_not_ignored() -> None:
    told = refusal("shop:app", LISTEN_FDS="1", LISTEN_PID="1")
    assert told.startswith("cannot take the sockets: they were passed to process 1, and this is ")


def test_sockets_and_applications_match(held: socket.socket, connect: Connect) -> None:
    with listener() as other:
        both = {"public": held, "admin": other}
        for words, message in (
            (["shop:app"], "must name an application for each of the sockets admin, public, as in NAME=MODULE:APP"),
            (["public=shop:app"], 'must name an application for the socket "admin", as in admin=MODULE:APP'),
            (["public=shop:app", "http=shop:app"], 'unknown socket "http", must be one of: admin, public'),
        ):  # fmt: skip
            with running(*words, sockets=both) as runner:
                assert runner.end() == 1
                assert runner.lines[-1] == f"projctl-serve: {message}"
        with running("admin=shop:admin", "public=shop:app", sockets=both) as runner:
            assert ask(connect(runner, "public"))[1].startswith("hello from ")
            assert ask(connect(runner, "admin"))[1].startswith("admin ")
            assert runner.port("public") == held.getsockname()[1]
            assert runner.stop() == 0


def test_a_descriptor_that_does_not_listen_is_refused() -> None:
    with socket.socket() as idle, running("shop:app", sockets={"public": idle}) as runner:
        assert runner.end() == 1
    assert (
        runner.lines[-1]
        == 'projctl-serve: cannot serve "public": descriptor 3 must be a listening stream socket'
    )


def test_a_busy_port_falls_back_within_its_range(two_ports: range, connect: Connect) -> None:
    busy, free = two_ports
    for text in (f"{busy}-{free}", f"{busy},{free}", f"127.0.0.1:{busy}-{free}"):
        with running("a=shop:app", "b=shop:admin", "--listen", f"a={text}", "--listen", "b=0") as runner:
            assert runner.port("a") == free
            assert f"projctl-serve: port {busy} is busy, using {free}" in runner.lines
            assert ask(connect(runner, "a"))[0].status == 200
            assert runner.stop() == 0


def test_an_exhausted_range_is_told(two_ports: range) -> None:
    busy, free = two_ports
    assert refusal("shop:app", "--listen", str(busy)) == f'cannot open a port for "http": port {busy} is busy'
    with socket.create_server(("127.0.0.1", free)):
        told = refusal("shop:app", "--listen", f"{busy}-{free}")
    assert told == f'cannot open a port for "http": all of {busy}-{free} are busy'


def test_the_port_of_the_environment(two_ports: range, connect: Connect) -> None:
    with running("shop:app", environment={"PORT": str(two_ports[1])}) as runner:
        assert runner.port() == two_ports[1]
        assert ask(connect(runner))[0].status == 200


def test_every_address_of_the_machine(connect: Connect) -> None:
    with running("shop:app", "--listen", "[::]:0") as runner:
        assert ask(connect(runner))[0].status == 200


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    for _ in range(2):  # the second one finds what the first one left
        with running("shop:app", "--listen", path) as runner:
            runner.wait_for(f"serving http on unix:{path}")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert b"".join(iter(lambda: client.recv(65536), b"")).startswith(b"HTTP/1.1 200 ")
            assert "Address already in use" in refusal("shop:app", "--listen", path)
            assert runner.stop() == 0


def test_access_log(connect: Connect) -> None:
    pattern = adapters.every()["runner"].access_log
    assert pattern
    words = ["a=shop:app", "b=shop:admin", "--listen", "a=0", "--listen", "b=0", "--access-log"]
    with running(*words) as runner:
        assert ask(connect(runner, "a"), "/fail")[0].status == 500
        ask(connect(runner, "b"), '/x"y?z=1', "POST", b"body")
        ask(connect(runner, "a"), "/slow?0.2")
        assert runner.stop() == 0
    logged = [line for line in runner.lines if re.match(r"[ab] 127", line)]
    found = [re.search(pattern, line) for line in logged]
    assert [line.rpartition('"')[0] + '"' for line in logged] == [
        'a 127.0.0.1 "GET /fail"', 'b 127.0.0.1 "POST /x%22y?z=1"', 'a 127.0.0.1 "GET /slow?0.2"',
    ]  # fmt: skip
    assert [match["status"] for match in found if match] == ["500", "200", "200"]
    assert found[2] and float(found[2]["seconds"]) >= 0.2


def test_requests_are_not_logged_unasked(connect: Connect) -> None:
    with running("shop:app", "--listen", "0") as runner:
        ask(connect(runner), "/quiet")
        assert runner.stop() == 0
    assert "quiet" not in "".join(runner.lines)


def test_an_application_without_lifespan_is_served(connect: Connect) -> None:
    for mode in ("auto", "off"):
        with running("faulty:no_lifespan", "--listen", "0", "--lifespan", mode) as runner:
            assert ask(connect(runner))[1].startswith("None from ")
            assert runner.stop() == 0


def test_a_factory_and_an_attribute_of_an_attribute(connect: Connect) -> None:
    for name in ("shop:make_app()", "faulty:shop.app"):
        with running(name, "--listen", "0") as runner:
            assert ask(connect(runner))[1].startswith("hello from ")
            assert runner.stop() == 0


def test_a_told_interface(connect: Connect) -> None:
    words = ["a=faulty:either", "b=faulty:either", "--listen", "a=0", "--listen", "b=0"]
    with running(*words, "--interface", "asgi", "--interface", "b=wsgi") as runner:
        assert ask(connect(runner, "a"))[1].startswith("hello from ")
        assert ask(connect(runner, "b"))[1].startswith("admin ")
        assert runner.stop() == 0


def test_modules_are_found_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("from shop import app\n")
    assert "No module named 'elsewhere'" in refusal("elsewhere:app")
    environment = {"PYTHONPATH": str(APPS)}
    with running(
        "elsewhere:app", "--listen", "0", "--app-dir", str(tmp_path), environment=environment
    ) as runner:
        assert runner.port()
        assert runner.stop() == 0


def test_the_installed_command() -> None:
    command = [Path(sys.executable).with_name("projctl-serve"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.fullmatch(r"projctl-serve \d+\.\d+\.\d+\S*\n", said)
