"""One clear message for each thing that is wrong, exit status 1, and nothing half-applied."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from steps import ENVIRONMENT, MANIFEST, apply, get, let_everybody_in, projctl, server, write

from projctl.unitgenerator import main as generator

if TYPE_CHECKING:
    from projctl.lab import Lab

BAD = {
    "missing directory": (server(path="/srv/nowhere"), "cannot find the directory /srv/nowhere"),
    "not a directory": (server(path="/etc/passwd"), "/etc/passwd is not a directory"),
    "unknown user": (server(user="nosuchuser"), 'unknown user "nosuchuser"'),
    "missing program": (server(run="/srv/nothing here"), "/srv/nothing"),
    "missing env_file": (server(env_file="/srv/no.env"), "cannot find the file /srv/no.env"),
    "unknown server": (server(server="apache"), 'unknown server "apache", must be one of: caddy, '),
    "lost socket": ({"path": "/srv", "run": "gunicorn --reuse-port a:b"}, "--reuse-port"),
    "two sockets": (
        {"path": "/srv", "run": "uvicorn a:b", "listen": {"a": 3401, "b": 3402}}, "uvicorn takes 1 socket only",
    ),
    "reserved variable": (server(env={"LISTEN_FDS": "1"}), "cannot set LISTEN_FDS"),
    "foreign port": (server(listen=3455), 'process "python'),
    "other project's port": (server(listen=3400), 'project "good"'),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_manifest(lab: Lab, name: str) -> None:
    project, message = BAD[name]
    apply(lab, {"good": server(listen=3400)})
    code = "import socket,time; s=socket.create_server(('', 3455)); print(flush=True); time.sleep(60)"
    listener = lab.popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert listener.stdout
        assert listener.stdout.readline()  # it listens
        units = sorted(path.name for path in lab.file("/etc/systemd/system").iterdir())
        refused(lab, {"good": server(listen=3400), "bad": project}, message)
        assert sorted(path.name for path in lab.file("/etc/systemd/system").iterdir()) == units
        assert "200 OK" in get(lab, 3400)
    finally:
        listener.kill()
        listener.communicate()
        apply(lab, {})


def refused(lab: Lab, projects: dict[str, Any], message: str) -> None:
    write(lab, projects)
    for verb in ("check", "apply"):
        result = projctl(lab, verb, check=False)
        assert result.returncode == 1
        assert message in result.stderr
        assert f"{MANIFEST}:" in result.stderr
        assert "Traceback" not in result.stderr


def test_missing_manifest(lab: Lab) -> None:
    result = projctl(lab, "apply", "-f", "/srv/none.yaml", check=False)
    assert result.returncode == 1 and "/srv/none.yaml" in result.stderr and "Traceback" not in result.stderr


def test_no_permission(lab: Lab) -> None:
    let_everybody_in(lab)
    lab.write("/srv/secret.yaml", "version: 1\nprojects: {}\n", mode=0o600)
    lab.write("/srv/open.yaml", "version: 1\nprojects: {shop: {path: /srv, run: /bin/true}}\n")
    for words, message in (
        (["check", "-f", "/srv/secret.yaml"], "cannot read"),
        (["apply", "-f", "/srv/open.yaml"], "run as root, or with --user"),
        (["agent", "install"], "run as root, or with --user"),
    ):
        # The system's own Python: another user cannot reach one below /root.
        result = lab.run(
            [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                sys.executable,
                "-m",
                "projctl",
                *words,
            ],
            check=False,
        )
        assert result.returncode == 1
        assert message in result.stderr and "Traceback" not in result.stderr


def test_no_systemd() -> None:
    command = [sys.executable, "-m", "projctl", "apply", "-f", "/nonexistent"]
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh", *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("projctl: cannot work without systemd")
    assert "projctl try" in result.stderr


#: What Debian 11's systemctl says of its version; it lists nothing as JSON.
OLD = """#!/bin/sh
[ "$*" != --version ] || echo "systemd 247 (247.3-7+deb11u5)"
[ "$1" != list-units ] || echo "0 loaded units listed."
"""


def test_an_old_systemd(lab: Lab) -> None:
    lab.write("/srv/old/systemctl", OLD, mode=0o755)
    lab.write("/srv/one.yaml", "version: 1\nprojects: {shop: {path: /srv, run: /bin/true, server: native}}\n")
    environment = ENVIRONMENT | {"PATH": f"/srv/old:{ENVIRONMENT['PATH']}"}

    def said(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "projctl", *words]
        result = lab.run(command, check=False, env=environment)
        return result.returncode, result.stderr.partition("\n")[0]

    message = "projctl: cannot work with systemd 247: must be 252 or later"
    for words in ("apply -f /srv/one.yaml", "check -f /srv/one.yaml", "agent install", "list"):
        assert said(*words.split()) == (1, message), words
    assert not list(lab.file("/etc/systemd/system").glob("projctl-*"))


def test_a_socket_unit_of_others_that_opens_at_the_next_boot(fresh_lab: Lab) -> None:
    fresh_lab.write(
        "/etc/systemd/system/other.socket",
        "[Socket]\nListenStream=3456\nAccept=yes\n[Install]\nWantedBy=sockets.target\n",
    )
    fresh_lab.write("/etc/systemd/system/other@.service", "[Service]\nExecStart=/bin/true\n")
    fresh_lab.run(["systemctl", "enable", "other.socket"])
    refused(fresh_lab, {"bad": server(listen=3456)}, "systemd unit other.socket")
    # It is passed over where a free port is asked for.
    apply(fresh_lab, {"good": server(listen="auto:3456-3457")})
    assert "200 OK" in get(fresh_lab, 3457)


def test_uninstalling_takes_what_any_copy_installed_and_nothing_of_others(fresh_lab: Lab) -> None:
    projctl(fresh_lab, "agent", "install")
    fresh_lab.run(["systemctl", "stop", "projctl-agent-helper.socket"])
    drop_in = "/etc/systemd/system/projctl-agent-helper.service.d/10-program.conf"
    assert fresh_lab.file(drop_in).exists()
    fresh_lab.write("/etc/polkit-1/rules.d/50-projctl-agent.rules", "// by hand\n")
    said = projctl(fresh_lab, "agent", "uninstall").stdout
    assert said == "removed projctl-agent.service; projects keep serving\n"
    left = fresh_lab.run(["find", "/etc", "/usr/local", "-name", "*projctl-agent*"]).stdout
    assert left.split() == ["/etc/polkit-1/rules.d/50-projctl-agent.rules"]


def test_a_second_copy_beside_a_packaged_one(fresh_lab: Lab) -> None:
    unit = "/usr/lib/systemd/system/projctl-agent.service"
    fresh_lab.write(unit, "[Service]\nExecStart=/usr/bin/projctl-agent\n")
    for verb, hint in (
        ("install", "systemctl enable --now projctl-agent.service"),
        ("uninstall", "remove the package"),
    ):
        result = projctl(fresh_lab, "agent", verb, check=False)
        assert result.returncode == 1 and unit in result.stderr and hint in result.stderr
        assert "Traceback" not in result.stderr
    assert not fresh_lab.file("/etc/systemd/system/projctl-agent.service").exists()


@pytest.mark.parametrize("place", ["/var/lib/projctl", "/etc/systemd/system", "/etc/projctl/rendered"])
def test_a_full_disk(fresh_lab: Lab, place: str) -> None:
    fresh_lab.write(generator.CONFIGURATION, "[Generator]\nEnabled=yes\n")
    apply(fresh_lab, {"good": server(listen=3400)})
    script = (
        'cp -a "$1" /srv/kept; mount -t tmpfs -o size=1M full "$1"; cp -a /srv/kept/. "$1"; '
        'cat /dev/zero >"$1/rest" 2>/dev/null; [ -s "$1/rest" ]'
    )
    fresh_lab.run(["sh", "-c", script, "sh", place])
    before = sorted(path.name for path in fresh_lab.file("/etc/systemd/system").iterdir())
    write(fresh_lab, {"good": server(listen=3400), "more": server(listen=3401)})
    result = projctl(fresh_lab, "apply", "--no-preflight", check=False)
    assert result.returncode == 1 and "no space left on device" in result.stderr.lower()
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in fresh_lab.file("/etc/systemd/system").iterdir()) == before
    assert "200 OK" in get(fresh_lab, 3400)
