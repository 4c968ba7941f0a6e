"""The pages about the runner say what is so: options both ways, examples that run, fields and defaults."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

from processes import Connect, ask, running

from projctl_runtime import ServerConfig, StopPolicy, ports
from projctl_runtime.serve import parser

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/runner.md").read_text()
PAGE = (ROOT / "packaging/man/projctl-serve.1.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.+?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def described() -> dict[tuple[str, ...], str]:
    """Each option's spellings, and what the page says of it."""
    section = PAGE.partition("# OPTIONS")[2].partition("\n# ")[0]
    parts = re.split(r"^(\*\*-.+)\n:   ", section, flags=re.MULTILINE)
    heads = [tuple(re.findall(r"\*\*(-.+?)\*\*", head)) for head in parts[1::2]]
    return dict(zip(heads, parts[2::2], strict=True))


def test_every_option_is_described_and_the_other_way_round() -> None:
    known = {tuple(action.option_strings): action for action in parser()._actions if action.option_strings}
    assert len(known) >= 12
    assert set(described()) == set(known)


def test_defaults_are_described() -> None:
    defaults = {tuple(action.option_strings): action.default for action in parser()._actions}
    for spelling, text in described().items():
        if isinstance(defaults[spelling], int | float | str) and not isinstance(defaults[spelling], bool):
            shown = f"{defaults[spelling]:g}" if isinstance(defaults[spelling], float) else defaults[spelling]
            if shown not in ("==SUPPRESS==", "."):
                assert re.search(rf"Default: `?{shown}\b", text), spelling
    assert ports.DEFAULT in PAGE


def test_fields_and_defaults_of_the_public_classes_are_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? *\|", GUIDE, re.MULTILINE)
    fields = dataclasses.fields(ServerConfig)
    assert [name for name, _ in rows] == [field.name for field in fields]
    for (_, written), field in zip(rows, fields, strict=True):
        default = field.default
        shown = f'"{default}"' if isinstance(default, str) else str(default)
        assert written == ("" if default is dataclasses.MISSING else shown)
    assert f"StopPolicy({', '.join(field.name for field in dataclasses.fields(StopPolicy))})" in GUIDE
    assert f"{StopPolicy().patience:g} s of silence" in GUIDE
    assert f"within {StopPolicy().linger:g} s" in GUIDE


def test_the_example_of_run_all_runs(tmp_path: Path, connect: Connect) -> None:
    (tmp_path / "two.py").write_text(EXAMPLES[0])
    with running(program=(str(tmp_path / "two.py"),)) as runner:
        assert ask(connect(runner, "public"))[1] == "shop\n"
        assert ask(connect(runner, "admin"))[1] == "admin\n"
        assert runner.stop() == 0


def test_the_example_of_a_server_runs(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(EXAMPLES[1])
    with running(program=(str(tmp_path / "one.py"),)) as runner:
        assert runner.end() == 0
    assert runner.lines == ["hello"]


def test_the_example_of_a_hold_runs(tmp_path: Path) -> None:
    (tmp_path / "held.py").write_text(EXAMPLES[2])
    with running(program=(str(tmp_path / "held.py"),)) as runner:
        assert runner.end() == 0
    assert runner.lines == ["the project is not stopped as idle before this is done"]
    assert len(EXAMPLES) == 3


def test_the_package_needs_uvicorn_only_where_it_serves() -> None:
    code = "import sys, projctl_runtime.ready; sys.exit('uvicorn' in sys.modules)"
    with running(program=(sys.executable, "-c", code)[1:]) as runner:
        assert runner.end() == 0
