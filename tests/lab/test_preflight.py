"""What takes its socket passes the preflight, and what loses it is told, with its cure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from steps import projctl, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.lab import Lab

from preflight_stage import PYTHON, SERVER, STARTS, booted, noting, processes, project, section

GOOD = {
    "gunicorn": project("gunicorn shop:app"),
    "gunicorn-unix": project("gunicorn shop:app", listen="unix"),
    "gunicorn-two": project("gunicorn shop:app", listen={"a": 3400, "b": "127.0.0.1:3401"}),
    "module": project([sys.executable, "-m", "gunicorn", "shop:app"]),
    "uvicorn": project("uvicorn --lifespan off talk:app"),
    "uvicorn-uv": project("uv run --no-project uvicorn --lifespan off talk:app", "uvicorn"),
    "node": project("node server.js"),
    "shell": project(["/bin/sh", "-c", "cd . && exec gunicorn shop:app"], "gunicorn"),
    "env": project("env A=b nohup gunicorn shop:app", "gunicorn"),
    "accepts": noting("accept"),
    "hangs-up": noting("hang-up"),
    "accepts-unix": noting("accept", listen="unix"),
    "proxied": project("python3 -m http.server --bind $HOST $PORT"),
    "nginx": project("nginx -p ./ -c site.conf", listen=3481),
    "nginx-address": project(
        "nginx -p ./ -c address.conf",
        listen={"a": "127.0.0.1:3482", "b": "192.0.2.7:3483", "c": "[2001:db8::7]:3484"},
    ),
    "nginx-unix": project("nginx -p ./ -c unix.conf", listen="unix"),
    "nginx-more": project("nginx -p ./ -c fine-other.conf", listen=3485),
    "nginx-upstream": project("nginx -p ./ -c upstream.conf", listen=3487),
    "proxied-npm": project("npm start"),
    "dynamic": project("gunicorn shop:app", user="dynamic"),
    "strict": project("gunicorn shop:app", user="games", sandbox="strict"),
}
BAD = {
    "nginx-port": (
        project("nginx -p ./ -c other-port.conf", listen=3490),
        "opened its own port 3491 instead of taking its socket",
        "hint: its configuration must name the very address of its socket: listen [::]:3490 ipv6only=off;",
    ),
    "nginx-v4": (
        project("nginx -p ./ -c only-v4.conf", listen=3492),
        "exited with status 1 before it answered; it said last:\n",
        "hint: its configuration must name the very address of its socket: listen [::]:3492 ipv6only=off;",
    ),
    "nginx-unix": (
        project("nginx -p ./ -c site.conf", listen="/run/other.sock"),
        "opened its own port 3481 instead of taking its socket",
        "hint: its configuration must name the very address of its socket: listen unix:/run/other.sock;",
    ),
    "nginx-broken": (
        project("nginx -p ./ -c broken.conf", listen=3493),
        "exited with status 1 before it answered; it said last:\n",
        'unknown directive "lissen"',
    ),
    "uv": (
        project("uv run --no-project gunicorn shop:app", "native"),
        "opened $PORT instead of taking its socket",
        'hint: run the one in the project\'s virtual environment itself: ".venv/bin/gunicorn shop:app"',
    ),
    "npm": (
        # It hands LISTEN_FDS on, but not the descriptors.
        project("npm start", "native"),
        "exited with status 1 before it answered; it said last:\n",
        'hint: run the script itself: "node server.js"',
    ),
    "shell": (
        project(["sh", "-c", "gunicorn shop:app; true"], "native"),
        "opened $PORT instead of taking its socket",
        'hint: write "exec" before the server: [sh, -c, "exec …"]',
    ),
    "script": (
        project("sh start.sh", "gunicorn"),
        "opened $PORT instead of taking its socket",
        'hint: let the script start its server with "exec", or run the server itself',
    ),
    "reuse": (
        project("gunicorn -c reuse.conf.py shop:app"),
        "opened $PORT instead of taking its socket",
        'hint: write "server: proxy": a proxy then holds the socket, and the server listens on $PORT',
    ),
    "no-fd": (
        project("uvicorn --lifespan off talk:app --port 3998", "native"),
        "opened its own port 3998 instead of taking its socket",
        'hint: write "server: proxy": a proxy then holds the socket, and the server listens on $PORT',
    ),
    "own-js": (
        project("node own.js"),
        "opened its own port 3999 instead of taking its socket",
        'hint: let the script listen on {fd: 3}; or write "server: proxy": a proxy then holds the socket',
    ),
    "setsid": (
        project("setsid gunicorn shop:app", "native"),
        "exited with status 0 and left its server in the background",
        "hint: let it stay in the foreground: systemd takes care of it there",
    ),
    "daemon": (
        project(["gunicorn", "shop:app", "--daemon"], "native"),
        "exited with status 0 and left its server in the background",
        "hint: let it stay in the foreground: systemd takes care of it there",
    ),
    "proxied": (
        project("python3 -m http.server 3997"),
        "listens on 3997, not on $PORT",
        'hint: hand it the port in "run", for instance with "--port $PORT"',
    ),
    "crash": (
        project(["sh", "-c", "echo a reason; exit 3"], "native"),
        "exited with status 3 before it answered; it said last:\n    a reason\n",
        "",
    ),
    "killed": (
        project(["sh", "-c", "kill -SEGV $$"], "native"),
        "was ended by SIGSEGV before it answered",
        "",
    ),
    "import": (
        project("gunicorn nothing:app"),
        "exited with status 3 before it answered; it said last:\n",
        "ModuleNotFoundError: No module named 'nothing'",
    ),
    "runner": (
        project("projctl-serve nothing:app"),
        "exited with status 1 before it answered; it said last:\n",
        "projctl-serve: cannot import the application \"nothing:app\": No module named 'nothing'",
    ),
    "silent": (
        noting("sleep", start_timeout="2s"),
        "never answered within 2 s",
        'hint: if it only needs longer, raise "start_timeout"',
    ),
    "forks": (
        noting("children", start_timeout="2s"),
        "never answered within 2 s",
        "",
    ),
    "not-ready": (
        project([PYTHON, SERVER, "serve", STARTS], "gunicorn", start_timeout="3s"),
        "answered, but did not say READY=1 within 3 s",
        "",
    ),
    "one-of-two": (
        project(
            "uvicorn --lifespan off talk:app --fd 3",
            "native",
            listen={"a": 3400, "b": 3401},
            start_timeout="6s",
        ),
        'never answered on its socket "b" within 6 s',
        "",
    ),
}


@pytest.fixture(scope="module")
def stage(_nothing_left: None) -> Iterator[Lab]:
    with booted() as lab:
        yield lab


@pytest.fixture(scope="module")
def told(stage: Lab) -> str:
    """What one preflight of all broken projects said."""
    write(stage, {name: entry[0] for name, entry in BAD.items()})
    result = projctl(stage, "check", "--preflight", check=False, timeout=300)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("name", BAD)
def test_what_goes_wrong_is_told(told: str, name: str) -> None:
    _, message, hint = BAD[name]
    found = section(told, name)
    assert found.startswith(message)
    assert hint in found


def test_what_takes_its_socket_passes(stage: Lab) -> None:
    write(stage, GOOD)
    result = projctl(stage, "check", "--preflight", timeout=300)
    assert "no problem found" in result.stdout
    assert processes(stage) == []
    assert stage.run(["sh", "-c", "ls -d /tmp/projctl-preflight-* || true"]).stdout == ""
