"""Parts of the runner that need no process: ports, interfaces, times."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from processes import PATIENCE
from websockets.sync.client import connect as connect_websocket

from projctl_runtime import RunnerError, Server, ServerConfig, StopPolicy
from projctl_runtime.application import interface_of
from projctl_runtime.failure import reason
from projctl_runtime.ports import parse
from projctl_runtime.stopping import drain_timeout


@pytest.mark.parametrize(
    ("text", "host", "ports"),
    [
        ("3400", None, [3400]),
        ("3400-3402", None, [3400, 3401, 3402]),
        ("3400,3410-3411", None, [3400, 3410, 3411]),
        ("0.0.0.0:80", "0.0.0.0", [80]),
        ("[::1]:80-81", "::1", [80, 81]),
        ("localhost:0", "localhost", [0]),
    ],
)
def test_addresses(text: str, host: str | None, ports: list[int]) -> None:
    assert parse(text) == (host, ports)


@pytest.mark.parametrize("text", ["", "x", "3400-", "65536", "81-80", "::1:80", "1,,2", "a:b:1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(RunnerError):
        parse(text)


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


class Asgi:
    """An instance speaks ASGI."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Wsgi:
    """An instance speaks WSGI."""

    def __call__(self, environ: Any, start_response: Any) -> Any: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


def decorated(*arguments: Any) -> Any: ...


@pytest.mark.parametrize("application", [asgi, Asgi(), Wsgi().method, functools.partial(asgi)])
def test_asgi_is_told(application: object) -> None:
    assert interface_of(application, "app") == "asgi"


@pytest.mark.parametrize(
    "application", [wsgi, Wsgi(), functools.wraps(wsgi)(lambda *words: wsgi(*words)), functools.partial(wsgi)]
)
def test_wsgi_is_told(application: object) -> None:
    assert interface_of(application, "app") == "wsgi"


@pytest.mark.parametrize("application", [decorated, 7, None, print])
def test_what_cannot_be_told(application: object) -> None:
    with pytest.raises(RunnerError):
        interface_of(application, "app")


@pytest.mark.parametrize(
    ("stop_timeout", "seconds"), [("30", 28), ("5", 4.5), (None, 28), ("nonsense", 28), ("0.5", 0.45)]
)
def test_requests_get_a_little_less_than_the_stop(stop_timeout: str | None, seconds: float) -> None:
    assert drain_timeout(stop_timeout) == pytest.approx(seconds)


def test_policy_of_the_caller() -> None:
    assert StopPolicy(drain_timeout=3).drain_timeout == 3


def test_reasons_are_one_line() -> None:
    assert reason(ModuleNotFoundError("No module named 'x'")) == "No module named 'x'"
    assert reason(ValueError("one\n  two")) == "ValueError: one two"
    assert reason(KeyError()) == "KeyError"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """A WebSocket that answers once and waits for its end."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def talk(port: int) -> str:
    with connect_websocket(f"ws://127.0.0.1:{port}/") as websocket:
        websocket.send("hello")
        return str(websocket.recv(PATIENCE))


def test_a_closed_websocket_is_forgotten() -> None:
    async def serve() -> None:
        async with Server(ServerConfig(echo, lifespan="off", listen="0")) as server:
            assert await asyncio.to_thread(talk, server.sockets[0].getsockname()[1]) == "hello"
            async with asyncio.timeout(PATIENCE):
                while server.traffic.connections:
                    await asyncio.sleep(0.05)

    asyncio.run(serve())
