"""What a stop does to what is under way: nothing that was accepted is lost, nothing else is accepted."""

from __future__ import annotations

import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest
from processes import APPS, Connect, Load, Runner, ask, listener, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPS = 5
#: Without httptools and uvloop uvicorn uses h11, and the runner asyncio's own loop.
PLAIN = {"PYTHONPATH": f"{APPS / 'plain'}"}


@pytest.fixture(params=["fast", "plain"])
def runner(request: pytest.FixtureRequest, held: socket.socket) -> Iterator[Runner]:
    """Both applications on two sockets; `held` is the ASGI one's."""
    environment = PLAIN if request.param == "plain" else {}
    with listener() as other:
        sockets = {"public": held, "admin": other}
        words = ["public=shop:app", "admin=shop:admin", "--keep-alive", "60"]
        with running(*words, sockets=sockets, environment=environment) as started:
            started.port("admin")
            yield started


def opened(connect: Connect, runner: Runner, name: str = "public") -> socket.socket:
    """A connection that the runner has accepted: a later one was answered."""
    connection = socket.create_connection(("127.0.0.1", runner.port(name)), timeout=60)
    ask(connect(runner, name))
    return connection


def test_a_request_under_way_is_answered(connect: Connect, runner: Runner) -> None:
    client = connect(runner, "public")
    client.request("GET", "/slow?1")
    runner.wait_for("slow begun")
    runner.send()
    response = client.getresponse()
    assert (response.status, response.getheader("Connection")) == (200, "close")
    assert b"hello" in response.read()
    assert runner.end() == 0
    assert "lifespan shutdown" in runner.lines


def test_control_c_ends_as_well(connect: Connect, runner: Runner) -> None:
    client = connect(runner, "admin")
    client.request("GET", "/slow?1")
    runner.wait_for("slow begun")
    runner.send(signal.SIGINT)
    assert client.getresponse().status == 200
    assert runner.end() == 0


@pytest.mark.parametrize("name", ["public", "admin"])
@pytest.mark.parametrize("before", [b"", b"GET / HT"])
def test_an_accepted_connection_that_has_not_asked_yet_is_answered(
    connect: Connect, runner: Runner, name: str, before: bytes
) -> None:
    with opened(connect, runner, name) as client:
        client.sendall(before)
        runner.send()
        time.sleep(0.3)
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".removeprefix(before))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()
    assert runner.end() == 0


def test_a_kept_connection_gets_its_next_answer_and_is_told_to_close(
    connect: Connect, runner: Runner
) -> None:
    client = connect(runner, "public")
    assert ask(client)[0].getheader("Connection") != "close"
    runner.send()
    time.sleep(0.1)
    assert ask(client)[0].getheader("Connection") == "close"
    assert runner.end() == 0


def test_a_silent_kept_connection_is_closed(connect: Connect, runner: Runner) -> None:
    client = connect(runner, "public")
    ask(client)
    runner.send()
    assert client.sock.recv(1) == b""
    assert runner.end() == 0


def test_a_response_that_has_begun_is_sent_whole(connect: Connect, runner: Runner) -> None:
    client = connect(runner, "public")
    client.request("GET", "/stream?1")
    response = client.getresponse()
    runner.send()
    assert response.read().count(b"part\n") == 10
    assert runner.end() == 0


def test_a_body_that_nobody_reads_does_not_cost_the_answer(connect: Connect, runner: Runner) -> None:
    with opened(connect, runner) as client:
        client.sendall(b"POST /slow?0.5 HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n")
        runner.wait_for("slow begun")
        runner.send()
        time.sleep(0.7)
        client.sendall(b"x" * 200_000)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert runner.end() == 0


def test_what_comes_during_a_stop_waits_for_the_next_start(
    connect: Connect, runner: Runner, held: socket.socket
) -> None:
    slow = connect(runner, "public")
    slow.request("GET", "/slow?1")
    runner.wait_for("slow begun")
    runner.send()
    time.sleep(0.2)
    late = connect(runner, "public")
    late.request("GET", "/")
    assert slow.getresponse().status == 200
    assert runner.end() == 0
    with running("shop:app", sockets={"public": held}) as following:
        response = late.getresponse()
        assert (response.status, str(following.process.pid) in response.read().decode()) == (200, True)


def test_a_websocket_is_closed_as_for_a_restart(connect: Connect, runner: Runner) -> None:
    with connect_websocket(f"ws://127.0.0.1:{runner.port('public')}/") as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"
        runner.send()
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(60)
    assert closed.value.rcvd and closed.value.rcvd.code == 1012
    assert runner.end() == 0
    assert any(line.startswith("websocket closed") for line in runner.lines)


@pytest.mark.parametrize("path", ["/slow?600", "/slow?600 in a thread"])
def test_what_takes_too_long_is_given_up(connect: Connect, held: socket.socket, path: str) -> None:
    app = "shop:admin" if "thread" in path else "shop:app"
    with running(app, "--drain-timeout", "0.5", sockets={"public": held}) as runner:
        client = connect(runner)
        client.request("GET", path.partition(" ")[0])
        runner.wait_for("slow begun")
        assert runner.stop() == 0
        assert "projctl-serve: gave up 1 unfinished request" in runner.lines
        response = client.getresponse()
        assert (response.status, response.read()) == (503, b"the server stopped before this was done\n")
        assert "Traceback" not in "".join(runner.lines)


def test_a_second_control_c_does_not_wait(connect: Connect, held: socket.socket) -> None:
    with running("shop:app", sockets={"public": held}) as runner:
        client = connect(runner)
        client.request("GET", "/slow?600")
        runner.wait_for("slow begun")
        runner.send(signal.SIGINT)
        time.sleep(0.2)
        assert runner.stop(signal.SIGINT) == 0
        assert "projctl-serve: gave up 1 unfinished request" in runner.lines


def test_a_stop_while_it_starts(connect: Connect, held: socket.socket) -> None:
    with running("faulty:slow_start", sockets={"public": held}) as runner:
        runner.wait_for("starting")
        assert runner.stop() == 0


def test_a_port_of_its_own_leaves_nobody_waiting(connect: Connect) -> None:
    with running("shop:app", "--listen", "0") as runner:
        hang = connect(runner)
        hang.request("GET", "/hang?1")
        runner.wait_for("hang begun")
        # The loop hangs, so these wait in the queue of a socket that is about to be closed.
        waiting = [connect(runner) for _ in range(5)]
        for client in waiting:
            client.request("GET", "/")
        runner.send()
        assert [client.getresponse().status for client in (hang, *waiting)] == [200] * 6
        assert runner.end() == 0


@pytest.mark.parametrize(
    ("app", "environment"),
    [("shop:app", {}), ("shop:app", PLAIN), ("shop:admin", PLAIN)],
    ids=["fast", "plain", "wsgi"],
)
def test_no_request_is_lost_at_stops_under_load(
    connect: Connect, held: socket.socket, app: str, environment: dict[str, str]
) -> None:
    load = Load(held.getsockname()[1], one_shot=3, kept_alive=3)
    for _ in range(STOPS):
        with running(app, sockets={"public": held}, environment=environment) as runner:
            runner.port()
            time.sleep(0.2)
            assert runner.stop() == 0
    with running(app, sockets={"public": held}) as runner:
        runner.port()
        result = load.end()
    assert result["lost"] == {}
    assert min(result["sent"].values()) > STOPS
