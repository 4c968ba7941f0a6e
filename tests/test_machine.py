"""Facts about this machine: directories, users and files of variables."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from machine_stage import complaint, facts_of, look, script

from projctl import accounts
from projctl.machine import Facts


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
