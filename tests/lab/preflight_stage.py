"""Programs to try by preflight, in a lab, and what their trials leave."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps import MANIFEST

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator


BIN = Path(sys.executable).parent
HOME = "/srv/preflight"
#: Any user may run these, wherever the checkout lies.
PYTHON, SERVER = "/usr/bin/python3", f"{HOME}/server.py"
STARTS = "/tmp/preflight-starts"
PROGRAMS = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin", "UV_CACHE_DIR": "/tmp/uv", "UV_OFFLINE": "1"}
NGINX = "pid %s.pid; error_log stderr notice; events {} http { access_log off; server { %s return 200; } }\n"
LISTENS = {
    "site": "listen [::]:3481 ipv6only=off;",
    "address": "listen 127.0.0.1:3482; listen 192.0.2.7:3483; listen [2001:db8::7]:3484;",
    "unix": "listen unix:/run/projctl/nginx-unix.sock;",
    "fine-other": "listen [::]:3485 ipv6only=off; listen 127.0.0.1:3486;",
    "upstream": "listen [::]:3487 ipv6only=off; location /x { proxy_pass http://shop.example; }",
    "other-port": "listen [::]:3491 ipv6only=off;",
    "only-v4": "listen 3492;",
    "broken": "lissen 3493;",
}
FILES = {
    "server.py": Path(__file__).with_name("preflight_server.py").read_text(),
    "shop.py": "def app(environ, start):\n    start('200 OK', [])\n    return [b'hello']\n",
    "talk.py": "async def app(scope, receive, send):\n"
    "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
    "    await send({'type': 'http.response.body', 'body': b'hello'})\n",
    "reuse.conf.py": "reuse_port = True\n",
    "server.js": "require('http').createServer((q, r) => r.end('hello')).listen(\n"
    "  process.env.LISTEN_FDS ? {fd: 3} : process.env.PORT)\n",
    "own.js": "require('http').createServer((q, r) => r.end('hello')).listen(3999)\n",
    "package.json": '{"name": "shop", "version": "1.0.0", "scripts": {"start": "node server.js"}}\n',
    **{f"{name}.conf": NGINX % (name, listen) for name, listen in LISTENS.items()},
    "start.sh": "#!/bin/sh\ncd . && gunicorn shop:app\n",
}


def project(run: object, server: str | None = None, **more: Any) -> dict[str, Any]:
    named = {"server": server} if server else {}
    return {"path": HOME, "run": run, "env": PROGRAMS, "start_timeout": "60s", **named, **more}


def noting(how: str, *words: str, **more: Any) -> dict[str, Any]:
    return project([PYTHON, SERVER, how, STARTS, *words], "native", **more)


@contextlib.contextmanager
def booted() -> Iterator[Lab]:
    """A lab with these files, in which nothing may be left in the end."""
    with Lab.boot() as lab:
        for name, text in FILES.items():
            lab.write(f"{HOME}/{name}", text)
        lab.run(["chmod", "-R", "a+rX", HOME])
        yield lab
        assert processes(lab) == []


def processes(lab: Lab) -> list[str]:
    """The processes that a preflight could have left."""
    lines = []
    for entry in lab.file("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            lines.append(f"{entry.name} {(entry / 'cmdline').read_text().replace(chr(0), ' ')}")
    signs = ("gunicorn", "uvicorn", "node ", "npm", "preflight", "sleep 4711", "http.server")
    return [line for line in lines if any(sign in line for sign in signs)]


def starts(lab: Lab) -> list[dict[str, Any]]:
    file = lab.file(STARTS)
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def forget(lab: Lab) -> None:
    """No start is noted any more, no result is remembered; any user may note a start."""
    lab.run(["rm", "-f", "/var/lib/projctl/preflight.json"])
    lab.run(["sh", "-c", f": >{STARTS}; chmod 666 {STARTS}"])


def section(text: str, name: str) -> str:
    """All that was said of one project."""
    head = f"$.projects.{name}.run: "
    assert text.count(head) == 1, text
    return text.partition(head)[2].partition(f"{MANIFEST}:")[0]
