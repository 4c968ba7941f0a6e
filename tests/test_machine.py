"""Facts about this machine, asked of real sockets, directories and users."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from projctl import accounts, machine, network, programs
from projctl.diagnostics import Mark
from projctl.machine import Facts
from projctl.model import Fleet, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

#: From linux/in6.h; Python does not know it.
IPV6_FREEBIND = 78


@pytest.fixture
def site() -> Iterator[Path]:
    """A directory that every user can reach (pytest's own are private)."""
    with tempfile.TemporaryDirectory(prefix="projctl-", dir="/var/tmp") as name:
        directory = Path(name, "site")
        directory.mkdir()
        for path in (Path(name), directory):
            path.chmod(0o755)
        yield directory


def script(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def look(
    path: Path | str, run: object = "sh", *, user_mode: bool = False, **more: object
) -> tuple[Facts | None, list[str]]:
    project = Project(name="shop", path=str(path), run=run, **more)  # type: ignore[arg-type]
    fleet = Fleet(projects={"shop": project}, marks={("shop",): Mark("m.yaml", 3, 1)})
    facts, problems = machine.inspect(fleet, user_mode=user_mode)
    assert all(problem.mark and problem.path for problem in problems)
    return facts.get("shop"), [
        str(problem).removeprefix("m.yaml:3:1: $.projects.shop.") for problem in problems
    ]


def facts_of(path: Path, run: object = "sh", **more: object) -> Facts:
    facts, problems = look(path, run, **more)  # type: ignore[arg-type]
    assert problems == []
    assert facts
    return facts


def complaint(path: Path | str, run: object = "sh", **more: object) -> str:
    facts, problems = look(path, run, **more)  # type: ignore[arg-type]
    assert facts is None
    assert len(problems) == 1
    return problems[0]


# --- who listens


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_live_listener_is_found_with_its_process(family: int, host: str) -> None:
    with socket.socket(family) as server:
        if family == socket.AF_INET6:
            # Containers often have IPv6 without the address ::1.
            server.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        server.bind((host, 0))
        port = server.getsockname()[1]
        assert (host, port) not in network.listeners()
        server.listen()
        name = Path("/proc/self/comm").read_text().strip()
        assert network.listeners()[host, port] == f'process "{name}" (pid {os.getpid()})'
    assert (host, port) not in network.listeners()


def test_a_listener_whose_process_cannot_be_seen_is_told_by_its_user() -> None:
    unseen: network.Listeners[tuple[str | None, int]] = network.Listeners({(None, 80): (0, 65534)})
    assert unseen[None, 80] == 'a process of user "nobody"'
    assert network.Listeners({"/run/x": (0, None)})["/run/x"] == "another process"
    assert network.user_name(4_000_000_000) == "4000000000"


def test_a_unix_listener_is_found_and_a_client_is_not(site: Path) -> None:
    path = str(site / "a socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as other:
        server.bind(path)
        other.bind(path + "2")
        server.listen()
        found = network.unix_listeners()
        assert f"(pid {os.getpid()})" in found[path]
        assert path + "2" not in found


def test_what_systemd_would_meet_when_binding() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [network.try_bind(host, port) for host in ("127.0.0.1", "0.0.0.0", None)] == ["taken"] * 3
        assert network.try_bind("127.0.0.2", port) == "free"
        assert not network.bindable("127.0.0.1", port)
    assert network.try_bind(None, port) == "free"
    # TEST-NET-1 of RFC 5737 is nobody's address.
    assert network.try_bind("192.0.2.1", port) == "absent"
    assert network.bindable("192.0.2.1", port)


def test_a_port_whose_last_connections_still_linger_can_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            peer, _ = server.accept()
            peer.close()
            assert client.recv(1) == b""
    assert network.try_bind("127.0.0.1", port) == "free"


def test_a_privileged_port_is_forbidden_to_an_ordinary_user() -> None:
    code = "from projctl.network import *; print(first_unprivileged_port(), try_bind('0.0.0.0', 80))"
    # A network namespace of its own has the kernel's default of 1024, whatever this machine is set to.
    without = [
        "unshare",
        "--net",
        "setpriv",
        "--bounding-set=-net_bind_service",
        "--inh-caps=-net_bind_service",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(network.__file__).parents[1])}
    command = [*without, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (done.stdout, done.stderr) == ("1024 forbidden\n", "")


def test_the_kernels_own_ports() -> None:
    words = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert network.ephemeral_range() == (int(words[0]), int(words[1]))
    assert 0 <= network.first_unprivileged_port() <= 65536
    listed = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()
    assert bool(listed) == bool(network.reserved_ports())


@pytest.mark.parametrize(
    ("text", "expected"), [("\n", set()), ("8080\n", {8080}), ("1-3,7,9-9\n", {1, 2, 3, 7, 9})]
)
def test_reserved_ports_are_read(text: str, expected: set[int]) -> None:
    assert network.parse_ports(text) == expected


# --- directories and users


def test_the_facts_of_a_plain_project(site: Path) -> None:
    script(site / "serve")
    facts = facts_of(site, "./serve")
    me = accounts.own() if os.getuid() else accounts.find("root")
    root = accounts.find("root")
    assert facts == Facts(str(site / "serve"), (), 0, 0, root.home, me.name, interpreter="/bin/sh")


def test_a_missing_directory(site: Path) -> None:
    assert complaint(site / "gone") == f"path: cannot find the directory {site}/gone"
    assert complaint("/" + "x" * 300) == f"path: cannot look at /{'x' * 300}: file name too long"


def test_a_file_is_no_directory(site: Path) -> None:
    path = script(site / "file")
    assert complaint(path) == f"path: {path} is not a directory"
    assert complaint(path / "below") == f"path: cannot find the directory {path}/below"


def test_a_directory_its_user_cannot_enter(site: Path) -> None:
    site.chmod(0o700)
    assert f'path: {site} cannot be entered by user "nobody"' in complaint(site, user="nobody")
    assert f"path: {site} cannot be entered by a dynamic user" in complaint(site, user="dynamic")
    assert facts_of(site, user="root").directory_owner == "root"
    os.chown(site, 65534, 65534)
    assert facts_of(site, user="nobody").directory_owner == "nobody"


def test_a_directory_of_its_group(site: Path) -> None:
    nobody = accounts.find("nobody")
    os.chown(site, 0, nobody.gid or 0)
    site.chmod(0o710)
    assert facts_of(site, user="nobody").gid == nobody.gid
    site.chmod(0o701)
    assert "cannot be entered" in complaint(site, user="nobody")


def test_a_directory_behind_a_closed_one_is_hidden_where_the_sandbox_binds_it_in(site: Path) -> None:
    site.parent.chmod(0o700)
    message = complaint(site, user="nobody")
    assert f'path: {site} cannot be entered by user "nobody"\n' in message
    assert f'hint: the way is barred at {site.parent}; "sandbox: strict"' in message
    assert facts_of(site, user="nobody", sandbox="strict").hidden
    assert facts_of(site, user="dynamic").hidden
    assert not facts_of(site, user="root").hidden
    site.parent.chmod(0o755)
    assert not facts_of(site, user="dynamic").hidden


def test_a_symlink_into_a_closed_directory_is_hidden_as_well(site: Path) -> None:
    closed = site.parent / "closed"
    (closed / "real").mkdir(parents=True)
    closed.chmod(0o700)
    (site / "link").symlink_to(closed / "real")
    assert f"barred at {closed}" in complaint(site / "link", user="nobody")
    assert facts_of(site / "link", user="dynamic").hidden


def test_outside_of_homes_the_sandbox_does_not_help() -> None:
    with tempfile.TemporaryDirectory(prefix="projctl-", dir="/srv") as name:
        Path(name, "site").mkdir(mode=0o755)
        message = complaint(Path(name, "site"), user="dynamic")
        assert f"barred at {name}: let that user enter it" in message


def test_an_unknown_user(site: Path) -> None:
    message = complaint(site, user="no-such-user")
    assert message.startswith('user: unknown user "no-such-user"\nhint: create it with "useradd')
    assert complaint(site, user="3999999999").startswith('user: unknown user "3999999999"')
    assert complaint(site, user="9" * 30).startswith('user: unknown user "999')


def test_a_user_by_number(site: Path) -> None:
    assert facts_of(site, user="0").home == accounts.find("root").home


def test_user_mode_runs_as_oneself(site: Path) -> None:
    other = "nobody" if os.getuid() == 0 else "root"
    assert facts_of(site, user_mode=True).uid == os.getuid()
    assert facts_of(site, user_mode=True, user=accounts.own().name).uid == os.getuid()
    assert complaint(site, user_mode=True, user=other).startswith(
        f'user: cannot run as user "{other}" in user mode'
    )
    assert complaint(site, user_mode=True, user="dynamic").startswith(
        'user: cannot use "dynamic" in user mode'
    )


def test_several_problems_are_found_at_once(site: Path) -> None:
    _, problems = look(site / "gone", user="no-such-user", env_file=str(site / "env"))
    assert [problem.partition(":")[0] for problem in problems] == ["user", "path", "env_file"]


def test_the_file_of_variables(site: Path) -> None:
    env = site / "env"
    assert complaint(site, env_file=str(env)) == f"env_file: cannot find the file {env}"
    assert complaint(site, env_file=str(site)) == f"env_file: {site} is not a file"
    env.write_text("A=1\n")
    env.chmod(0o600)
    assert facts_of(site, env_file=str(env))


# --- programs


def test_a_bare_name_is_looked_for_in_order(site: Path) -> None:
    for place in ("node_modules/.bin", "venv/bin", ".venv/bin", "tools"):
        path = script(site / place / "serve")
        assert facts_of(site, "serve", env={"PATH": f"{site}/tools"}).program == str(path)
    assert facts_of(site, "serve").program == str(site / ".venv/bin/serve")
    assert facts_of(site, "serve", env={"PATH": "tools"}).program == str(site / "tools/serve")
    assert facts_of(site, "env").program == shutil.which("env", path=":".join(programs.STANDARD_PATH))


def test_servers_beside_projctl_are_found_last(site: Path) -> None:
    beside = Path(sys.executable).parent
    found = programs.places(str(site), {})
    # Debian's own Python lies where programs are looked for anyway.
    assert found[-1] == str(beside) or str(beside) in programs.STANDARD_PATH
    assert str(beside) in found


def test_a_missing_program_says_where_it_was_looked_for(site: Path) -> None:
    message = complaint(site, "no-such-server --port 1")
    assert message.startswith(
        f'run: cannot find the program "no-such-server" in {site}/.venv/bin, {site}/venv/bin, '
    )
    assert "/usr/local/sbin, /usr/local/bin" in message
    assert message.endswith('hint: write its absolute path, or set PATH under "env"')
    assert complaint(site, "bin/serve") == f"run: cannot find the program {site}/bin/serve"


def test_a_file_that_cannot_be_executed_is_passed_over_and_named(site: Path) -> None:
    plain = script(site / ".venv/bin/serve", mode=0o644)
    message = complaint(site, "serve")
    assert f'; {plain} is there, but user "root" cannot execute it' in message
    assert complaint(site, str(plain)).startswith(f'run: cannot run {plain}: user "root" cannot execute it')
    assert complaint(site, "./.venv").startswith(f"run: cannot run {site}/.venv: it is not a file")
    later = script(site / "venv/bin/serve")
    assert facts_of(site, "serve").program == str(later)


def test_a_program_only_root_can_execute(site: Path) -> None:
    script(site / "serve", mode=0o744)
    assert facts_of(site, "./serve").uid == 0
    assert 'user "nobody" cannot execute it' in complaint(site, "./serve", user="nobody")


def test_an_access_list_is_left_to_the_start_itself(site: Path) -> None:
    path = script(site / "serve", mode=0o744)
    # Version 2: owner rwx, user 65534 r-x, group r--, mask r-x, others r--.
    entries = [(1, 7, -1), (2, 5, 65534), (4, 4, -1), (16, 5, -1), (32, 4, -1)]
    packed = b"".join(
        tag.to_bytes(2, "little") + mode.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, mode, who in entries
    )
    os.setxattr(path, "system.posix_acl_access", (2).to_bytes(4, "little") + packed)
    assert facts_of(site, "./serve", user="nobody").program == str(path)


def virtual_environment(directory: Path, home: Path) -> None:
    """What `python -m venv` makes, with `home` as the interpreter's own directory."""
    script(home / "python3.11", "ELF")
    (directory / "bin").mkdir(parents=True)
    (directory / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (directory / "bin/python").symlink_to(home / "python3.11")
    script(directory / "bin/serve", f"#!{directory}/bin/python\n")


def test_a_virtual_environment_needs_its_python(site: Path) -> None:
    python = site.parent / "python/3.11"
    virtual_environment(site / ".venv", python / "bin")
    facts = facts_of(site, "serve")
    assert facts.program == str(site / ".venv/bin/serve")
    assert facts.interpreter_roots == (str(python),)
    assert facts_of(site, ".venv/bin/python -m serve").interpreter_roots == (str(python),)


def test_a_virtual_environment_elsewhere_needs_both(site: Path) -> None:
    python, away = site.parent / "python/3.11", site.parent / "away"
    virtual_environment(away, python / "bin")
    assert facts_of(site, f"{away}/bin/serve").interpreter_roots == (str(away), str(python))


def test_a_python_reached_over_several_links(site: Path) -> None:
    real, alias = site.parent / "python/3.11.9", site.parent / "python/3.11"
    script(real / "bin/python3.11", "ELF")
    alias.symlink_to(real)
    virtual_environment(site / "venv", real / "bin")
    (site / "venv/bin/python").unlink()
    (site / "venv/bin/python").symlink_to(alias / "bin/python3.11")
    assert facts_of(site, "serve").interpreter_roots == (str(alias), str(real))


def test_the_shell_line_that_installers_write_is_understood(site: Path) -> None:
    home = site.parent / "a python/bin"
    script(home / "python", "ELF")
    script(site / "serve", f"""#!/bin/sh\n'''exec' "{home}/python" "$0" "$@"\n' '''\n""")
    assert facts_of(site, "./serve").interpreter_roots == (str(home.parent),)


def test_a_script_found_by_env_uses_the_manifests_path(site: Path) -> None:
    tools = site.parent / "node/bin"
    script(tools / "node", "ELF")
    script(site / "serve", "#!/usr/bin/env -S node --flag\n")
    assert facts_of(site, "./serve", env={"PATH": str(tools)}).interpreter_roots == (str(tools.parent),)
    assert facts_of(site, "./serve").interpreter_roots == ()


def test_a_missing_interpreter(site: Path) -> None:
    script(site / "serve", f"#!{site}/gone/python\n")
    message = complaint(site, "./serve")
    assert message.startswith(
        f"run: cannot run {site}/serve: its interpreter {site}/gone/python is missing\nhint:"
    )


def test_scripts_that_name_each_other_end(site: Path) -> None:
    script(site / "a", f"#!{site}/b\n")
    script(site / "b", f"#!{site}/a\n")
    assert facts_of(site, "./a").interpreter_roots == ()


def test_an_interpreter_the_user_cannot_reach(site: Path) -> None:
    closed = site.parent / "closed"
    virtual_environment(site / ".venv", closed / "bin")
    closed.chmod(0o700)
    message = complaint(site, "serve", user="nobody")
    assert f'with {site}/.venv/bin/python: user "nobody" cannot enter {closed}\nhint:' in message
    facts = facts_of(site, "serve", user="nobody", sandbox="strict")
    assert (facts.hidden, facts.interpreter_roots) == (True, (str(closed),))


def test_shared_prefixes_are_not_made_visible_as_a_whole(site: Path) -> None:
    local = site.parent / ".local"
    tool = script(local / "bin/tool", "ELF")
    (local / "lib").mkdir()
    assert facts_of(site, str(tool)).interpreter_roots == (str(local / "bin"), str(local / "lib"))


def test_a_link_that_leads_to_itself(site: Path) -> None:
    (site / "serve").symlink_to(site / "serve")
    assert complaint(site, "./serve").startswith("run: cannot find the program")


def test_nothing_is_executed(site: Path) -> None:
    trap = script(site / "trap", f"#!/bin/sh\ntouch {site}/sprung\n")
    script(site / "serve", f"#!{trap}\n")
    facts_of(site, "./serve")
    assert not (site / "sprung").exists()
