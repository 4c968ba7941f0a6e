"""How preflight tries a program, when it does so again, and that it disturbs nothing and leaves nothing behind."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from steps import ENVIRONMENT, get, let_everybody_in, projctl, wait_for, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.lab import Lab

from preflight_stage import HOME, NGINX, PROGRAMS, booted, forget, noting, processes, project, section, starts


@pytest.fixture(scope="module")
def stage(_nothing_left: None) -> Iterator[Lab]:
    with booted() as lab:
        yield lab


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
    let_everybody_in(stage)
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
    let_everybody_in(stage)
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
