"""The systemd generator on a real systemd: a manifest and a reload are enough, and nothing that listens moves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from steps import ENVIRONMENT, ROOT, get, projctl, projects, server, wait_for, write

from projctl.unitgenerator import main as generator

if TYPE_CHECKING:
    from projctl.lab import Lab

PROGRAM = "/etc/systemd/system-generators/projctl-generator"
MORE = "/etc/projctl/projects.d/more.yaml"


@pytest.fixture
def generated_lab(fresh_lab: Lab) -> Lab:
    """A lab in which the generator is installed and enabled."""
    path = f'PYTHONPATH={ROOT / "generator"} exec {sys.executable} -m projctl.unitgenerator "$@"'
    fresh_lab.write(PROGRAM, f"#!/bin/sh\n{path}\n")
    fresh_lab.run(["chmod", "755", PROGRAM])
    fresh_lab.write(generator.CONFIGURATION, "[Generator]\nEnabled=yes\n")
    return fresh_lab


def reload(lab: Lab) -> None:
    lab.run(["systemctl", "daemon-reload"])


def listens(lab: Lab, port: int) -> bool:
    said = lab.run(["systemctl", "list-sockets", "--no-legend", "projctl-*"]).stdout
    return any(line.split()[0].endswith(f":{port}") for line in said.splitlines())


def given(lab: Lab) -> list[str]:
    """What the generator gave systemd at the last reload."""
    found = lab.run(["sh", "-c", "find /run/systemd/generator* -name '*projctl*'"], check=False)
    return found.stdout.split()


def journal(lab: Lab) -> str:
    return lab.run(["journalctl", "--no-pager", "-o", "cat", "-t", "projctl-generator"], check=False).stdout


def dry_run(lab: Lab) -> Any:
    return lab.run([sys.executable, "-m", "projctl.unitgenerator", "--dryrun"], check=False, env=ENVIRONMENT)


def test_a_manifest_and_a_reload_are_enough(generated_lab: Lab) -> None:
    lab = generated_lab
    write(lab, {"shop": server(listen=3400)})
    assert "# projctl-shop.socket" in dry_run(lab).stdout
    reload(lab)
    wait_for(lambda: listens(lab, 3400))
    assert "200 OK" in get(lab, 3400)
    assert projects(lab)["shop"]["state"] == "running"
    pid = projects(lab)["shop"]["pid"]
    # The next reload finds it as it was, and so does a second project.
    write(lab, {"blog": server(listen=3401)}, MORE)
    reload(lab)
    wait_for(lambda: listens(lab, 3401))
    assert projects(lab)["shop"]["pid"] == pid
    # apply takes over what was generated, without a pause.
    assert "applied" in projctl(lab, "apply", "--no-preflight").stdout
    reload(lab)
    assert given(lab) == []
    assert projects(lab)["shop"]["pid"] == pid
    assert "200 OK" in get(lab, 3401)
    assert projctl(lab, "apply").stdout == "nothing to change\n"
    # What has not changed is not even read as a manifest.
    words = [sys.executable, "-X", "importtime", "-m", "projctl.unitgenerator", "--dryrun"]
    imported = {
        line.rpartition("|")[2].strip() for line in lab.run(words, env=ENVIRONMENT).stderr.splitlines()
    }
    assert "projctl.unitgenerator.store" in imported
    assert not imported & {"yaml", "pydantic", "jinja2", "projctl.manifest", "projctl.model"}


def test_loaded_sockets_stay(generated_lab: Lab) -> None:
    lab = generated_lab
    write(lab, {"shop": server(listen=3400)})
    write(lab, {"blog": server(listen=3500)}, MORE)
    projctl(lab, "apply", "--no-preflight")
    write(lab, {"fresh": server(listen=3600)}, MORE.replace("more", "third"))
    reload(lab)
    wait_for(lambda: listens(lab, 3600))
    write(lab, {"shop": server(listen=3401)})
    write(lab, {"fresh": server(listen=3601)}, MORE.replace("more", "third"))
    reload(lab)
    said = journal(lab)
    assert "$.projects.shop: cannot change the sockets of what is loaded" in said
    assert "third.yaml:" in said and "run: projctl apply" in said
    for port in (3400, 3500, 3600):
        assert "200 OK" in get(lab, port)
    assert not listens(lab, 3401) and not listens(lab, 3601)
    projctl(lab, "apply", "--no-preflight")
    for port in (3401, 3601):
        assert "200 OK" in get(lab, port)
    assert not listens(lab, 3400)


def test_what_changed_but_its_sockets_is_taken_over(generated_lab: Lab) -> None:
    lab = generated_lab
    write(lab, {"shop": server(listen=3400)})
    projctl(lab, "apply", "--no-preflight")
    write(lab, {"shop": server(listen=3400, env={"COLOUR": "blue"})})
    reload(lab)
    environment = lab.run(["systemctl", "show", "-P", "Environment", "projctl-shop.service"]).stdout
    assert "COLOUR=blue" in environment
    # Unchanged manifests give the same again, by another way.
    reload(lab)
    assert environment == lab.run(["systemctl", "show", "-P", "Environment", "projctl-shop.service"]).stdout
    projctl(lab, "apply", "--no-preflight")
    assert given(lab) == []
    assert environment == lab.run(["systemctl", "show", "-P", "Environment", "projctl-shop.service"]).stdout


def test_only_the_broken_project_is_skipped(generated_lab: Lab) -> None:
    lab = generated_lab
    wrong = {"broken": server(listen="80a"), "homeless": server(listen=3402) | {"path": "/nowhere"}}
    wrong |= {"ghost": server(listen=3403) | {"user": "nobody-there"}}
    write(lab, {"shop": server(listen=3400), "unnumbered": server(), **wrong})
    write(lab, {"thief": server(listen=3400)}, MORE.replace("more", "with"))
    # Who asked systemd for that user would wait until it gives up.
    lab.run(["timeout", "20", "systemctl", "daemon-reload"])
    wait_for(lambda: listens(lab, 3400))
    said = journal(lab)
    assert "test.yaml:" in said and "$.projects.broken.listen: must be a port" in said
    assert "$.projects.homeless.path: " in said
    assert '$.projects.ghost.user: unknown user "nobody-there"' in said
    assert "$.projects.unnumbered.listen: cannot give a port here" in said
    assert "with.yaml:" in said and "$.projects.thief.listen" in said
    loaded = lab.run(
        ["systemctl", "list-units", "--all", "--no-legend", "--plain", "projctl-*.socket"]
    ).stdout
    assert [line.split()[0] for line in loaded.splitlines()] == ["projctl-shop.socket"]
    # A manifest that is no YAML takes nothing down.
    lab.write(MORE.replace("more", "test"), "projects: [")
    reload(lab)
    assert "200 OK" in get(lab, 3400)


def test_off_by_default_and_told_what_is_wrong(generated_lab: Lab) -> None:
    lab = generated_lab
    lab.run(["rm", generator.CONFIGURATION])
    write(lab, {"shop": server(listen=3400)})
    reload(lab)
    assert not listens(lab, 3400)
    projctl(lab, "apply", "--no-preflight")
    assert lab.run(["ls", generator.RENDERED], check=False).returncode
    lab.write(generator.CONFIGURATION, "[Generator]\nEnabled=perhaps\n")
    reload(lab)
    assert f"{generator.CONFIGURATION}:2:1: must be" in journal(lab)
    assert projctl(lab, "apply", check=False).returncode == 1


def test_a_store_without_installed_units_serves(generated_lab: Lab) -> None:
    """As after a reboot of an image that ships /etc/projctl alone."""
    lab = generated_lab
    write(lab, {"shop": server(listen=3400), "auto": server()})
    projctl(lab, "apply", "--no-preflight")
    port = projects(lab)["auto"]["sockets"][0]["port"]
    lab.run(["systemctl", "stop", "projctl.target"])
    lab.run(["sh", "-c", "rm -rf /etc/systemd/system/projctl* /etc/systemd/system/*.wants/projctl*"])
    reload(lab)
    wait_for(lambda: listens(lab, 3400) and listens(lab, port))
    assert "200 OK" in get(lab, port)


def test_an_apply_that_failed_takes_nothing_down(generated_lab: Lab) -> None:
    lab = generated_lab
    write(lab, {"blog": server(listen=3401)})
    projctl(lab, "apply", "--no-preflight")
    write(lab, {"shop": server(listen=3400)}, MORE)
    reload(lab)
    wait_for(lambda: listens(lab, 3400))
    # It forgets what it had kept; what was generated since still names that.
    lab.run(["rm", f"{generator.RENDERED}/index.json"])
    reload(lab)
    assert "200 OK" in get(lab, 3400)
    assert "200 OK" in get(lab, 3401)


#: Early in a boot: most is read-only, /var/lib is not there, and nobody takes messages but the kernel.
EARLY = """
mkfifo /dev/kmsg; exec 3<>/dev/kmsg
mkdir /run/n /run/e /run/l
mount -t tmpfs none /run/systemd/journal
mount -t tmpfs none /var/lib
mount -o remount,bind,ro /
{program} /run/n /run/e /run/l
echo "status $?"
dd bs=64k count=1 <&3 2>/dev/null
"""


def test_early_in_a_boot(generated_lab: Lab) -> None:
    lab = generated_lab
    write(lab, {"shop": server(listen=3400), "broken": server(listen="80a")})
    said = lab.run(["unshare", "--mount", "sh", "-c", EARLY.format(program=PROGRAM)]).stdout
    assert said.startswith("status 1\n<3>projctl-generator: /etc/projctl/projects.d/test.yaml:")
    assert "$.projects.broken.listen: must be a port" in said
    linked = lab.run(["find", "/run/n", "-type", "l", "-name", "projctl*"]).stdout.split()
    assert sorted(linked) == [
        "/run/n/multi-user.target.wants/projctl.target",
        "/run/n/projctl.target.wants/projctl-shop.socket",
    ]
