"""The steps after the reboot; they build on each other and run in this order."""

from __future__ import annotations

from pathlib import Path

from machine import (
    AGENT,
    DISK,
    MANIFEST,
    MORE,
    TEXT,
    falls_asleep,
    get,
    main_pid,
    metric,
    run,
    shown,
    state,
    wakes,
)


def reboot() -> None:
    """after a reboot the sockets listen and no server runs"""
    for name, port in (("shop", 3400), ("keeper", 3401), ("more", 3403)):
        assert state(f"projctl-{name}.socket") == "active"
        wakes(port, f"projctl-{name}.service")
    assert metric('projctl_stops_total{project="shop",reason="oom"}') >= 1
    falls_asleep("projctl-shop.service")


def removal() -> None:
    """removal says that projects keep serving, and they do: those that run, and those that sleep"""
    before = main_pid("projctl-keeper.service")
    said = run("apt-get", "remove", "--yes", "projctl", "projctl-agent")
    assert "projects keep serving" in said, said
    assert "kept projctl-more.socket" in said, said
    assert main_pid("projctl-keeper.service") == before
    run("systemctl", "stop", "projctl-more.service")
    wakes(3403, "projctl-more.service")
    assert state("projctl-agent.service") == "inactive"
    wakes(3400, "projctl-shop.service")


def purge() -> None:
    """purging removes the agent's state, and neither a manifest nor the record of ports in use"""
    assert Path("/var/lib/projctl-agent").exists()
    run("apt-get", "purge", "--yes", "projctl", "projctl-agent")
    assert not Path("/var/lib/projctl-agent").exists()
    assert MANIFEST.read_text() == TEXT and Path("/var/lib/projctl/ports.json").exists()
    assert get(3400) == "/"


def pipx() -> None:
    """by pipx from the wheel, below /root: `agent install` runs that copy, `agent uninstall` leaves nothing of it"""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/usr/share/python-wheels", "PIP_NO_COMPILE": "1"}
    (wheel,) = DISK.glob("*.whl")
    run("pipx", "install", "--system-site-packages", f"{wheel}[agent]", **offline)
    program = "/root/.local/bin/projctl"
    assert run(program, "--version").startswith("projctl, version")
    assert "ListenStream=3400" in run(program, "render", "--file", str(MANIFEST))
    run(program, "agent", "install")
    assert "/root/.local/share/pipx/venvs/projctl/bin/" in shown("projctl-agent.service", "ExecStart")
    assert get(3400) == "/"
    falls_asleep("projctl-shop.service")
    run(program, "agent", "uninstall")
    assert not list(Path("/etc").rglob("*projctl-agent*"))
    run(program, "agent", "install")


def comes_back() -> None:
    """installed again it takes its projects over as they are, and removes them when their manifest is gone"""
    before = main_pid("projctl-keeper.service")
    # The copy by pipx goes before the packaged one until its agent is uninstalled.
    assert "of another copy hides the packaged one" in run("apt-get", "install", "--yes", "projctl")
    assert "2 copies" in run("projctl", "doctor", check=False)
    cure = "systemctl enable --now projctl-agent.service"
    assert run("projctl", "agent", "uninstall").endswith(f"to use the packaged one: {cure}")
    run(*cure.split())
    assert {state(unit) for unit in AGENT} == {"active"}
    assert run("projctl", "diff") == "" and main_pid("projctl-keeper.service") == before
    MANIFEST.unlink()
    MORE.unlink()
    run("projctl", "apply")
    assert (
        not list(Path("/etc/systemd/system").glob("projctl-*.s*"))
        and state("projctl-keeper.service") == "inactive"
    )


STEPS = (
    reboot,
    removal,
    purge,
    pipx,
    comes_back,
)
