"""What adapters make of commands: what is added, left out and rewritten."""

from __future__ import annotations

import re

import pytest

from projctl import adapters
from projctl.shellwords import plain, split

LOGS = {
    "gunicorn": '127.0.0.1 - - [21/Nov/2026:10:58:01 +0000] "GET / HTTP/1.1" 404 5 "-" "curl/8"',
    "uvicorn": 'INFO:     127.0.0.1:36294 - "GET /a?b=200 HTTP/1.1" 404 Not Found',
    "hypercorn": '[2026-11-21 11:02:10 +0000] [7] [INFO] 1.2.3.4:5 - - [21/Nov/2026] "GET / 1.1" 404 5 "-" "-"',
    "daphne": '127.0.0.1:50172 - - [21/Nov/2026:11:02:10] "GET /" 404 5',
    "uwsgi": "[pid: 7|app: 0|req: 1/1] 127.0.0.1 () {28 vars in 293 bytes} [Sat Nov 21 11:02:10 2026]"
    " GET / => generated 5 bytes in 0 msecs (HTTP/1.1 404) 2 headers in 65 bytes (1 switches on core 0)",
}


def made(run: str, sockets: int = 1) -> str:
    """The command that the adapter which recognises `run` makes of it."""
    words = split(run)
    (adapter,) = [adapter for adapter in adapters.every().values() if adapter.recognises(words)]
    command = adapter.command(words, sockets)
    return " ".join(map(plain, adapter.launched(command, "/venv/bin/python", "/ours")))


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ("gunicorn -b :8000 app", "gunicorn -b :8000 app"),
        ("uvicorn app:app", "uvicorn app:app --backlog 65535 --fd 3"),
        ("uvicorn app:app --fd 3 --backlog=9", "uvicorn app:app --fd 3 --backlog=9"),
        ("hypercorn app:app", "hypercorn app:app --backlog 65535 --bind fd://3"),
        ("hypercorn -b :8000 a:a --bind=[::1]:80", "hypercorn a:a --backlog 65535 --bind fd://3"),
        ("hypercorn -b:8000 --backlog 9 a:a", "hypercorn --backlog 9 a:a --bind fd://3"),
        ("daphne -p 8000 -b 0.0.0.0 app:app", "daphne app:app --endpoint systemd:domain=INET6:index=0"),
        (
            "python3 -m daphne --fd 3 app:app",
            "python3 -m daphne app:app --endpoint systemd:domain=INET6:index=0",
        ),
        ("waitress-serve --listen=*:80 a:a", "/venv/bin/python /ours/waitress_serve.py a:a"),
        ("waitress-serve --call a:make", "/venv/bin/python /ours/waitress_serve.py --call a:make"),
    ],
)
def test_command(run: str, command: str) -> None:
    assert made(run) == command


@pytest.mark.parametrize("interpreter", ["", "/bin/bash"])
def test_python_runs_the_launcher_itself(interpreter: str) -> None:
    adapter = adapters.every()["waitress"]
    words = adapter.launched(split("/venv/bin/python3 -m waitress --threads=8 a:a"), interpreter, "/ours")
    assert [plain(word) for word in words] == [
        "/venv/bin/python3", "/ours/waitress_serve.py", "--threads=8", "a:a",
    ]  # fmt: skip


@pytest.mark.parametrize("interpreter", ["", "/bin/bash"])
def test_no_python_runs_no_launcher(interpreter: str) -> None:
    words = split("waitress-serve")
    assert adapters.every()["waitress"].launched(words, interpreter, "/ours") == words


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ("", "http"),
        ("--http :8080 ", "http"),
        ("--http-socket=:8080 ", "http"),
        ("-s:3031 ", "uwsgi"),
        ("--socket /run/x.sock --chmod-socket=660 ", "uwsgi"),
        ("--fastcgi-socket :3031 ", "fastcgi"),
    ],
)
def test_uwsgi_keeps_its_protocol_and_ends_gracefully(given: str, protocol: str) -> None:
    kept = "--chmod-socket=660 " if "chmod" in given else ""
    flags = "--master --hook-master-start unix_signal:15 gracefully_kill_them_all"
    assert made(f"uwsgi {given}--module app") == f"uwsgi {kept}--module app {flags} --protocol {protocol}"
    assert made(f"uwsgi {given}--ini app.ini --master").count("--master") == 1


@pytest.mark.parametrize("run", ["hypercorn a:a", "daphne a:a"])
def test_several_sockets(run: str) -> None:
    first, second = re.findall("fd://[0-9]|index=[0-9]", made(run, 2))
    assert int(second[-1]) - int(first[-1]) == 1
    assert made(run, 2).startswith(made(run))


@pytest.mark.parametrize("name", LOGS)
def test_access_log_lines(name: str) -> None:
    pattern = adapters.every()[name].access_log
    assert pattern
    match = re.search(pattern, LOGS[name])
    assert match and match["status"] == "404"
    assert not re.search(pattern, "[7] [INFO] Booting worker with pid: 200")
