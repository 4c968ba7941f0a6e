"""Preflight with real programs: what takes its socket passes, what loses it is told, nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from steps import ENVIRONMENT, MANIFEST, ROOT, get, projctl, wait_for, write

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
    with Lab.boot() as booted:
        for name, text in FILES.items():
            booted.write(f"{HOME}/{name}", text)
        booted.run(["chmod", "-R", "a+rX", HOME])
        yield booted
        assert processes(booted) == []


@pytest.fixture(scope="module")
def told(stage: Lab) -> str:
    """What one preflight of all broken projects said."""
    write(stage, {name: entry[0] for name, entry in BAD.items()})
    result = projctl(stage, "check", "--preflight", check=False, timeout=300)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


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


def test_it_starts_as_the_unit_would(stage: Lab) -> None:
    forget(stage)
    stage.write("/srv/shop.env", "FROM_FILE='a b'\nGREETING=file\n")
    stage.run(["usermod", "--append", "--groups", "audio", "games"])
    env = {"GREETING": "manifest", "ODD": '100% "$HOME" \\ \n'}
    words = ["$PORT", "%i", "a b", "'"]
    more = {
        "user": "games",
        "env": env,
        "env_file": "/srv/shop.env",
        "listen": {"a": 3470, "b": "127.0.0.1:3471"},
    }
    write(stage, {"shop": noting("serve", *words, **more)})
    projctl(stage, "check", "--preflight")
    [start] = starts(stage)
    uid, gid, audio = (int(stage.run(["sh", "-c", text]).stdout) for text in
                       ("id -u games", "id -g games", "getent group audio | cut -d: -f3"))  # fmt: skip
    assert (start["uid"], start["gid"], start["directory"]) == (uid, gid, HOME)
    assert {gid, audio} == set(start["groups"])
    assert start["own"] and start["leader"] and start["words"] == words
    assert start["descriptors"] == [0, 1, 2, 3, 4]
    environment = start["environment"]
    assert environment["GREETING"] == "file" and environment["FROM_FILE"] == "a b"
    assert environment["ODD"] == env["ODD"] and environment["USER"] == "games"
    assert environment["LISTEN_FDS"] == "2" and environment["LISTEN_FDNAMES"] == "a:b"
    ports = [address[1] for address in start["addresses"]]
    assert not {3470, 3471} & {*ports, int(environment["PORT"])}
    assert "PROJCTL_STATE_DIR" not in environment and environment.get("SHELL") != "/bin/bash"


def test_apply_tries_and_applies_nothing_that_fails(stage: Lab) -> None:
    forget(stage)
    stage.run(["rm", "-f", f"{HOME}/mended"])
    projects = {"flaky": noting("flaky", listen=3472), "fine": noting("serve", listen=3473)}
    write(stage, projects)
    refused = projctl(stage, "apply", check=False)
    assert refused.returncode == 1 and refused.stdout == ""
    assert section(refused.stderr, "flaky").startswith("exited with status 4 before it answered")
    assert "not mended yet" in refused.stderr and "projects.fine" not in refused.stderr
    assert stage.run(["sh", "-c", "ls /etc/systemd/system | grep -c '^projctl-f' || true"]).stdout == "0\n"
    with pytest.raises(ConnectionRefusedError):
        get(stage, 3473)
    assert len(starts(stage)) == 2
    # What failed is tried again, what passed is not.
    projctl(stage, "apply", check=False)
    assert len(starts(stage)) == 3
    stage.write(f"{HOME}/mended", "")
    assert "applied" in projctl(stage, "apply").stdout
    assert len(starts(stage)) == 4
    assert "nothing to change" in projctl(stage, "apply").stdout
    assert len(starts(stage)) == 4
    assert "200 OK" in get(stage, 3472) and "200 OK" in get(stage, 3473)
    write(stage, {})
    projctl(stage, "apply")


def test_a_trial_is_repeated_only_when_something_counts(stage: Lab) -> None:
    forget(stage)

    def apply(**more: Any) -> int:
        before = len(starts(stage))
        write(stage, {"shop": noting("serve", **{"listen": 3474, **more})})
        projctl(stage, "apply")
        return len(starts(stage)) - before

    stage.write("/srv/one.env", "A=1\n")
    assert apply() == 1
    assert apply(idle="5m") == 0
    assert apply(idle="5m", listen=3475) == 0
    assert apply(env=PROGRAMS | {"NEW": "1"}) == 1
    assert apply(env=PROGRAMS | {"NEW": "1"}, start_timeout="40s") == 0
    assert apply(env_file="/srv/one.env") == 1
    stage.write("/srv/one.env", "A=2\n")
    assert apply(env_file="/srv/one.env", idle="6m") == 1
    assert apply(env_file="/srv/one.env", idle="7m") == 0
    assert apply(env_file="/srv/one.env", user="games") == 1
    assert apply(path="/srv") == 1
    write(stage, {"shop": noting("sleep", listen=3474)})
    assert "applied" in projctl(stage, "apply", "--no-preflight").stdout
    write(stage, {})
    projctl(stage, "apply")


def test_a_running_project_is_not_disturbed(stage: Lab) -> None:
    forget(stage)
    write(stage, {"shop": noting("serve", listen=3476)})
    projctl(stage, "apply")
    get(stage, 3476)
    pid = stage.run(["systemctl", "show", "--property=MainPID", "projctl-shop.service"]).stdout
    forget(stage)
    projctl(stage, "check", "--preflight")
    assert len(starts(stage)) == 1
    assert "200 OK" in get(stage, 3476)
    assert stage.run(["systemctl", "show", "--property=MainPID", "projctl-shop.service"]).stdout == pid
    write(stage, {})
    projctl(stage, "apply")


def test_nginx_is_tried_apart_from_the_one_that_runs(stage: Lab) -> None:
    forget(stage)
    conf = f"{HOME}/live.conf"
    stage.write(conf, (NGINX % ("/run/live", "listen [::]:3495 ipv6only=off;")))
    write(stage, {"live": project(f"nginx -p ./ -c {conf}", listen=3495)})
    projctl(stage, "apply")
    assert "200 OK" in get(stage, 3495)
    pid = stage.file("/run/live.pid").read_text()
    assert "no problem" in projctl(stage, "check", "--preflight").stdout
    assert stage.file("/run/live.pid").read_text() == pid
    # Its configuration is nothing that a remembered result could depend on.
    stage.write(conf, NGINX % ("/run/live", "listen [::]:3496 ipv6only=off;"))
    refused = projctl(stage, "check", "--preflight", check=False)
    assert "opened its own port 3496 instead" in refused.stderr
    assert "200 OK" in get(stage, 3495)
    write(stage, {})
    projctl(stage, "apply")


def test_a_user_who_is_not_root_tries_nginx_too(stage: Lab) -> None:
    stage.run(["install", "-d", "-o", "games", "/tmp/games"])
    conf = "/tmp/games/own.conf"
    more = "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;"
    text = NGINX.replace("http {", f"http {{ {more}")
    environment = ENVIRONMENT | {"PROJCTL_STATE_DIR": "/tmp/games/state"}
    words = [sys.executable, "-m", "projctl", "check", "--user", "--preflight", "--systemd-version", "252"]
    words += ["-f", "/tmp/games/own.yaml"]
    for place in (ROOT, Path(sys.prefix), Path(sys.base_prefix)):
        stage.run(["chmod", "o+x", *place.parents])  # in the lab alone
    run = {"path": "/tmp/games", "run": f"nginx -p ./ -c {conf}", "listen": 3497}
    write(stage, {"own": run}, "/tmp/games/own.yaml")
    for listen, status, said in ((3497, 0, "no problem found"), (3498, 1, "opened its own port 3498")):
        stage.write(conf, text % ("own", f"listen [::]:{listen} ipv6only=off;"))
        result = stage.run(words, user="games", env=environment, check=False)
        assert (result.returncode, said in result.stdout + result.stderr) == (status, True), result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_projctl(stage: Lab, number: signal.Signals) -> None:
    forget(stage)
    write(stage, {"shop": noting("children"), "shap": noting("sleep")})
    command = [sys.executable, "-m", "projctl", "check", "--preflight"]
    with stage.popen(command, env=ENVIRONMENT) as process:
        wait_for(lambda: len(starts(stage)) == 2)
        own = [line.split()[0] for line in processes(stage) if "check --preflight" in line]
        stage.run(["kill", f"-{number.value}", *own])
        process.wait(timeout=30)
    wait_for(lambda: processes(stage) == [])
    assert stage.run(["sh", "-c", "ls -d /tmp/projctl-preflight-* || true"]).stdout == ""


def test_a_user_tries_as_oneself(stage: Lab) -> None:
    forget(stage)
    stage.run(["chmod", "a+x", "/root"])
    stage.run(["useradd", "--create-home", "--uid", "4712", "nora"])
    stage.run(["systemctl", "start", "user@4712.service"])
    stage.write("/srv/nora.yaml", "")
    projects = {
        "shop": noting("serve", listen=3477),
        "bad": project("uvicorn talk:app --port 3996", "native"),
    }
    write(stage, projects, "/srv/nora.yaml")
    stage.run(["chmod", "a+r", "/srv/nora.yaml"])
    result = stage.run(
        [sys.executable, "-m", "projctl", "check", "--user", "--preflight", "-f", "/srv/nora.yaml"],
        user="nora",
        env=ENVIRONMENT | {"HOME": "/home/nora", "USER": "nora", "XDG_RUNTIME_DIR": "/run/user/4712"},
        check=False,
    )
    assert "opened its own port 3996 instead" in result.stderr and "projects.shop" not in result.stderr
    [start] = starts(stage)
    assert (start["uid"], start["environment"]["HOME"]) == (4712, "/home/nora")
    assert processes(stage) == []
