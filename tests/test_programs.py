"""Which program a command names, and what it needs to start."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from machine_stage import complaint, facts_of, script

from projctl import programs


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
