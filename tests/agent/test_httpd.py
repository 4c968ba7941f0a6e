"""The /metrics server: what it answers, and that no input upsets it."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import httpd


def ask(*requests: bytes, half_close: bool = True) -> list[bytes]:
    """Send each request on a connection of its own to one server; the whole answers."""

    async def source(accept: str) -> tuple[bytes, str]:
        return f"accept {accept}\n".encode(), "text/plain"

    async def one(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        if half_close:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer

    async def work() -> list[bytes]:
        listener = socket.create_server(("127.0.0.1", 0))
        server = await httpd.serve(listener, source)
        async with server:
            return [await one(listener.getsockname()[1], request) for request in requests]

    return asyncio.run(work())


def test_metrics() -> None:
    (answer,) = ask(
        b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: text/a\r\naccept: text/b\r\n\r\n", half_close=False
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 21\r\n" in head + b"\r\n"
    assert b"Connection: close" in head
    assert body == b"accept text/a,text/b\n"


def test_head_has_no_body() -> None:
    (answer,) = ask(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"get /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\nAccept: a\n\n", 400),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nAccept: a\0b\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20000, 431),
    ],
)
def test_bad_requests(request_: bytes, status: int) -> None:
    answer, after = ask(request_, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"\r\nAllow: GET, HEAD\r\n" in answer) == (status == 405)
    assert after.startswith(b"HTTP/1.1 200 ")


@given(st.binary(max_size=200))
def test_any_head_is_a_request_or_an_error(head: bytes) -> None:
    try:
        request = httpd.parse(head)
        httpd.check(request)
    except httpd.RequestError as error:
        assert error.status in {400, 404, 405}  # noqa: PT017
    else:
        assert request.path == "/metrics"


@given(st.binary(max_size=60))
def test_no_header_gets_into_the_answer(value: bytes) -> None:
    try:
        request = httpd.parse(b"GET /metrics HTTP/1.1\r\nAccept: " + value)
    except httpd.RequestError:
        return
    assert "\r" not in request.accept
    assert "\n" not in request.accept


def test_a_source_that_fails_is_a_server_error() -> None:
    async def broken(accept: str) -> tuple[bytes, str]:
        raise PermissionError(accept)

    async def work() -> bytes:
        listener = socket.create_server(("127.0.0.1", 0))
        async with await httpd.serve(listener, broken):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer

    assert asyncio.run(work()).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
