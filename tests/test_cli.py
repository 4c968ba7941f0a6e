"""The command line as a shell meets it: closed pipes, Ctrl-C, completion, wrong usage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from projctl import cli

ROOT = Path(__file__).parents[1]
PROJCTL = [sys.executable, "-m", "projctl"]
DEMO = ["-f", str(ROOT / "examples/demo/projects.yaml")]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROJCTL, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )


def test_a_closed_pipe_is_quiet() -> None:
    result = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | true; echo "${PIPESTATUS[0]}"', "bash", *PROJCTL, "schema"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stderr == ""
    assert result.stdout in ("1\n", "141\n")


def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    """A manifest that never ends is read until the signal comes."""
    pipe = tmp_path / "manifest.yaml"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [*PROJCTL, "check", "-f", str(pipe)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with pipe.open("w"):
        # The reader has opened it: the program is at work.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    result = run(_PROJCTL_COMPLETE=f"{shell}_source")
    assert result.returncode == 0 and "_PROJCTL_COMPLETE" in result.stdout and result.stderr == ""


def test_completion_of_verbs_and_options() -> None:
    said = run(_PROJCTL_COMPLETE="bash_complete", COMP_WORDS="projctl re", COMP_CWORD="1").stdout
    assert {line.partition(",")[2] for line in said.splitlines()} >= {"reload", "render", "restart"}
    said = run(_PROJCTL_COMPLETE="bash_complete", COMP_WORDS="projctl apply --d", COMP_CWORD="2").stdout
    assert "plain,--dry-run" in said.splitlines()


def test_completion_of_projects(tmp_path: Path) -> None:
    units = tmp_path / "systemd/user"
    units.mkdir(parents=True)
    for name in ("shop", "shoes", "blog"):
        (units / f"projctl-{name}.service").write_text("# Rendered by projctl 1\n[Service]\n")
    words = {"COMP_WORDS": "projctl stop --user sh", "COMP_CWORD": "3", "XDG_CONFIG_HOME": str(tmp_path)}
    said = run(_PROJCTL_COMPLETE="bash_complete", **words).stdout
    assert [line.partition(",")[2] for line in said.splitlines()] == ["shoes", "shop"]


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["list", "--nope"],
        ["status"],
        ["render", "--systemd-version", "12"],
        ["apply", "surplus"],
    ],
)
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    result = run(*words)
    assert result.returncode == 2 and "Traceback" not in result.stderr and result.stdout == ""
    assert result.stderr.startswith("Usage: projctl")


@pytest.mark.parametrize("verb", ["", *sorted(cli.cli.list_commands(None))])  # type: ignore[arg-type]
def test_help_has_examples(verb: str) -> None:
    result = run(*filter(None, [verb]), "--help")
    assert result.returncode == 0 and result.stderr == ""
    assert "Example" in result.stdout and f"projctl {verb}" in result.stdout


def test_render_to_stdout_touches_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    result = run("render", *DEMO, PROJCTL_STATE_DIR=str(state))
    assert result.returncode == 0 and "[Socket]" in result.stdout
    assert not state.exists()


def test_render_to_a_directory_records_the_ports(tmp_path: Path) -> None:
    state, units = tmp_path / "state", tmp_path / "units"
    assert run("render", *DEMO, "-o", str(units), PROJCTL_STATE_DIR=str(state)).returncode == 0
    first = {path.name: path.read_text() for path in units.iterdir()}
    assert "projctl-clock.socket" in first and (state / "ports.json").exists()
    assert run("render", *DEMO, "-o", str(units), PROJCTL_STATE_DIR=str(state)).returncode == 0
    assert {path.name: path.read_text() for path in units.iterdir()} == first


def test_a_full_or_forbidden_place_is_one_message(tmp_path: Path) -> None:
    result = run("render", *DEMO, "-o", "/proc/units", PROJCTL_STATE_DIR=str(tmp_path))
    assert result.returncode == 1 and result.stderr.startswith("projctl: cannot write to /proc/units")
    assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_locale_without_unicode(tmp_path: Path, locale: str) -> None:
    site = tmp_path / "br\u00fccke"
    site.mkdir()
    (site / "m\u00fc.yaml").write_text(
        "version: 1\nprojects:\n"
        "  shop: {path: ., run: /usr/bin/env, server: native, listen: unix, env: {A: \u65e5\u672c}}\n",
        "utf-8",
    )
    words = ("-f", str(site / "m\u00fc.yaml"))
    plain = {
        "LC_ALL": locale,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PROJCTL_STATE_DIR": str(tmp_path),
    }
    written = run("render", *words, "-o", str(tmp_path / "units"), **plain)
    assert (written.returncode, written.stderr) == (0, "")
    text = (tmp_path / "units/projctl-shop.service").read_text("utf-8")
    assert 'Environment="A=\u65e5\u672c"' in text and f"WorkingDirectory={site}\n" in text
    printed = run("render", *words, **plain)
    assert printed.returncode == 0 and text in printed.stdout
    checked = run("check", *words, **plain)
    assert checked.returncode == 0 and f"{site}/m\u00fc.yaml:3:3: " in checked.stderr
    (site / "m\u00fc.yaml").write_text("version: 1\nprojects: {\u00fc: {}}\n", "utf-8")
    refused = run("check", *words, **plain)
    assert refused.returncode == 1 and "\u00fc: {}" in refused.stderr and "Traceback" not in refused.stderr


def test_render_replaces_no_file_of_others(tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    (units / "projctl.target").write_text("[Unit]\n")
    result = run("render", *DEMO, "-o", str(units), PROJCTL_STATE_DIR=str(tmp_path / "state"))
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith(
        f"projctl: cannot replace {units}/projctl.target: projctl did not write it\n"
    )
    assert [(path.name, path.read_text()) for path in units.iterdir()] == [("projctl.target", "[Unit]\n")]
    assert not (tmp_path / "state/ports.json").exists()
