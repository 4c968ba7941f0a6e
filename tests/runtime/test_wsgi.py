"""WSGI applications: requests, bodies, responses in parts, and failures."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest
from processes import Connect, Runner, ask, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    words = ["a=shop:admin", "bad=faulty:raises", "checked=checked:app", "--interface", "checked=wsgi"]
    with running(*words, "--listen", "a=0", "--listen", "bad=0", "--listen", "checked=0") as started:
        yield started
        assert started.stop() == 0


def test_paths_are_decoded_to_bytes(runner: Runner, connect: Connect) -> None:
    text = ask(connect(runner, "a"), "/%C3%A9%20%2F")[1]
    assert text.split(" ", 2)[2] == "/\u00c3\u00a9 /\n"


def test_a_short_response_has_its_length(runner: Runner, connect: Connect) -> None:
    response, text = ask(connect(runner, "a"))
    assert int(response.getheader("Content-Length") or 0) == len(text)
    assert response.getheader("Date")


def test_bodies(runner: Runner, connect: Connect) -> None:
    client = connect(runner, "a")
    for body in (b"", b"short", bytes(range(256)) * 4096):
        assert ask(client, "/echo", "POST", body)[1].encode("latin-1") == body
    assert ask(client, "/lines", "POST", b"one\ntwo\nthree")[1] == "one\ntwo\nthree"


def test_a_chunked_body(runner: Runner, connect: Connect) -> None:
    client = connect(runner, "a")
    client.request("POST", "/echo", iter([b"one ", b"two"]))
    assert client.getresponse().read() == b"one two"


@pytest.mark.parametrize("path", ["/", "/parts", "/write", "/empty", "/body"])
def test_the_standard_is_kept(runner: Runner, connect: Connect, path: str) -> None:
    response, text = ask(connect(runner, "checked"), path, "POST", b"a body")
    assert (response.status, text) == (200, {"/empty": "", "/body": "a body"}.get(path, "hello world"))


def test_head_has_no_body(runner: Runner, connect: Connect) -> None:
    client = connect(runner, "checked")
    assert ask(client, "/", "HEAD")[1] == ""
    assert ask(client)[1] == "hello world"


@pytest.mark.parametrize("path", ["/before", "/first"])
def test_a_failure_before_the_response(runner: Runner, connect: Connect, path: str) -> None:
    assert ask(connect(runner, "bad"), path)[0].status == 500
    runner.wait_for(f"RuntimeError: {path[1:]}")


def test_a_failure_within_the_response(runner: Runner, connect: Connect) -> None:
    with pytest.raises(http.client.IncompleteRead):
        ask(connect(runner, "bad"), "/late")


def test_a_response_that_is_replaced(runner: Runner, connect: Connect) -> None:
    response, text = ask(connect(runner, "bad"), "/replaced")
    assert (response.status, response.getheader("X-Why"), text) == (503, "replaced", "sorry")


def test_a_websocket_is_refused(runner: Runner, connect: Connect) -> None:
    client = connect(runner, "a")
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    client.request("GET", "/", headers={**upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert client.getresponse().status == 403
