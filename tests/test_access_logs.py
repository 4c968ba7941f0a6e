"""Lines as the servers wrote them, read by their adapters."""

from __future__ import annotations

import re

import pytest

from projctl import adapters

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
        ("php-fpm", '127.0.0.1 -  21/Nov/2026:11:09:52 +0000 "GET /index.php" 200', "200", None),
        ("php-fpm", '127.0.0.1 "GET /index.php" 500 0.003', "500", 0.003),
        ("puma", f'::ffff:127.0.0.1 - - {_AT} "GET /x HTTP/1.1" 200 - 0.0026', "200", 0.0026),
        ("puma", f'127.0.0.1 - - {_AT} "GET / HTTP/1.1" 503 12 0.1000', "503", 0.1),
    ],
)
def test_a_request_is_read(server: str, line: str, status: str, seconds: float | None) -> None:
    found = _found(server, line)
    assert found and found["status"] == status
    told = found.groupdict().get("seconds")
    assert (told and float(told)) == seconds


@pytest.mark.parametrize(
    ("server", "line"),
    [
        ("caddy", '{"level":"info","logger":"http.log","msg":"server running","name":"srv0"}'),
        ("nginx", '2026/11/21 11:09:51 [notice] 17640#17640: using inherited sockets from "3;"'),
        ("php-fpm", '[21-Nov-2026 10:52:40] NOTICE: using inherited socket fd=3, "/dev/fd/3"'),
        ("puma", "* Activated tcp://[::]:9779"),
    ],
)
def test_other_lines_are_none(server: str, line: str) -> None:
    assert _found(server, line) is None


def _found(server: str, line: str) -> re.Match[str] | None:
    pattern = adapters.every()[server].access_log
    assert pattern
    return re.search(pattern, line)
