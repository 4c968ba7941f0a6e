"""Lines as the servers wrote them, read by the agent as their adapters say."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from projctl import adapters
from projctl_agent.access import lines

_CADDY = (
    '{"level":"info","ts":1795258822.98,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":'
    '"127.0.0.1","remote_port":"52704","client_ip":"127.0.0.1","proto":"HTTP/1.1","method":"GET","host":'
    '"127.0.0.1:9777","uri":"/","headers":{"Accept":["*/*"]}},"bytes_read":0,"user_id":"","duration":%s,"size":5,'
    '"status":%d,"resp_headers":{"Server":["Caddy"]}}'
)
_AT = "[21/Nov/2026:11:09:48 +0000]"


@pytest.mark.parametrize(
    ("server", "line", "status", "seconds"),
    [
        ("caddy", _CADDY % ("0.00004479", 200), "200", 0.00004479),
        ("caddy", _CADDY % ("1.5e-7", 404), "404", 1.5e-7),
        ("nginx", f'::ffff:127.0.0.1 - - {_AT} "GET /x HTTP/1.1" 200 4 "-" "curl/7.88.1"', "200", None),
        ("nginx", f'127.0.0.1 - - {_AT} "GET /" 404 153 "-" "say 500 5"', "404", None),
        ("node", "GET / 200 1.234 ms - 5", "200", 0.001234),
        ("node", "\x1b[0mGET / \x1b[32m304\x1b[0m 0.734 ms - -\x1b[0m", "304", 0.000734),
        ("node", "GET /x 200 5 - 1.5 ms", "200", 0.0015),
        ("node", "GET /x 200 - - 1.5 ms", "200", 0.0015),
        ("node", "::1 - GET / HTTP/1.1 503 5 - 1.5 ms", "503", 0.0015),
        ("node", f'::1 - ann {_AT} "GET / HTTP/1.1" 404 5 "-" "say 500 3 ms"', "404", None),
        ("node", f'::1 - - {_AT} "GET / HTTP/1.1" 200 5', "200", None),
        (
            "node",
            '{"level":30,"res":{"statusCode":200},"responseTime":1.5,"msg":"request completed"}',
            "200",
            0.0015,
        ),
        ("node", '{"level":30,"res":{"statusCode":500,"headers":{}},"responseTime":3}', "500", 0.003),
        ("php-fpm", '127.0.0.1 -  21/Nov/2026:11:09:52 +0000 "GET /index.php" 200', "200", None),
        ("php-fpm", '127.0.0.1 "GET /index.php" 500 0.003', "500", 0.003),
        ("puma", f'::ffff:127.0.0.1 - - {_AT} "GET /x HTTP/1.1" 200 - 0.0026', "200", 0.0026),
        ("puma", f'127.0.0.1 - - {_AT} "GET / HTTP/1.1" 503 12 0.1000', "503", 0.1),
    ],
)
def test_a_request_is_read(server: str, line: str, status: str, seconds: float | None) -> None:
    found = _found(server, line)
    assert found
    assert (found.code, found.seconds) == (status, pytest.approx(seconds))


@pytest.mark.parametrize(
    ("server", "line"),
    [
        ("caddy", '{"level":"info","logger":"http.log","msg":"server running","name":"srv0"}'),
        ("nginx", '2026/11/21 11:09:51 [notice] 17640#17640: using inherited sockets from "3;"'),
        ("php-fpm", '[21-Nov-2026 10:52:40] NOTICE: using inherited socket fd=3, "/dev/fd/3"'),
        ("node", "listening on 3000"),
        ("node", "Started in 300 ms"),
        ("node", '{"level":30,"msg":"incoming request"}'),
        ("puma", "* Activated tcp://[::]:9779"),
    ],
)
def test_other_lines_are_none(server: str, line: str) -> None:
    assert _found(server, line) is None


def _found(server: str, line: str) -> lines.Request | None:
    pattern = adapters.every()[server].access_log
    assert pattern
    return lines.reader(pattern, nullcontext())(line)
