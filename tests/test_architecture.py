"""The line between the stages: who may import what, and who may write or run programs."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATOR = ROOT / "generator/projctl"
MODULES = sorted(path for top in ("generator", "agent", "runtime") for path in (ROOT / top).rglob("*.py"))
#: Whoever imports the key must lie below one of the values.
ONLY_IN = {
    "yaml": ["manifest.py"],
    "jinja2": ["render.py"],
    # preflight starts a project's own command, outside systemd, and its sockets need a directory meanwhile
    "subprocess": ["systemctl.py", "lab/", "preflight/"],
    "tempfile": ["apply.py", "lab/", "preflight/"],
    "rich": ["cli/"],
    "click": ["cli/"],
    # a page is a tree of elements and never text put together, so that nothing recorded can become markup
    "xml": ["report/markup.py", "report/charts.py", "report/page.py"],
}
PURE = [
    "check",
    "diagnostics",
    "model",
    "names",
    "plan",
    "ports",
    "registry",
    "shellwords",
    "top",
    "unitfile",
    "values",
    "wrappers",
    "preflight/launch",
    "preflight/verdict",
    "doctor/agent",
    "doctor/facts",
    "doctor/findings",
    "doctor/fleet",
    "doctor/history",
    "doctor/host",
    "doctor/ports",
    "doctor/starts",
    "report/advice",
    "report/charts",
    "report/document",
    "report/events",
    "report/figures",
    "report/history",
    "report/kpis",
    "report/markup",
    "report/page",
    "report/projects",
    "report/requests",
    "report/series",
    "report/servers",
    "report/spans",
    "report/text",
]
PURE_IMPORTS_NOT = {
    "os",
    "pathlib",
    "socket",
    "subprocess",
    "time",
    "tempfile",
    "shutil",
    "projctl.systemctl",
}
WRITES = {"write_text", "write_bytes", "unlink", "symlink_to", "mkdir", "rmdir", "rename", "replace", "touch"}


def imports(path: Path) -> set[str]:
    """Every module that a file imports outside of type checking, with the packages around it."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    names = imports(path)
    tops = {name.partition(".")[0] for name in names}
    if path.is_relative_to(GENERATOR):
        inside = str(path.relative_to(GENERATOR))
        for module, homes in ONLY_IN.items():
            assert module not in tops or inside.startswith(tuple(homes)), f"{inside} imports {module}"
    else:
        assert "projctl" not in tops, f"{path} imports the generator"


@pytest.mark.parametrize("name", PURE)
def test_pure_stages_do_no_io(name: str) -> None:
    path = GENERATOR / f"{name}.py"
    assert not imports(path) & PURE_IMPORTS_NOT
    calls = {node.func.id for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    assert not calls & {"open", "print", "input"}


@pytest.mark.parametrize(
    "path", sorted(GENERATOR.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_only_apply_writes(path: Path) -> None:
    inside = str(path.relative_to(GENERATOR))
    # The systemd generator writes where systemd tells it to, at a time when nothing else of ours runs.
    # A trial that is apart writes into /proc and into a mount that nobody else sees.
    if inside in ("apply.py", "preflight/apart.py") or inside.startswith(
        ("lab/", "unitgenerator/emission.py")
    ):
        return
    found = [
        f"{inside}:{node.lineno}: {node.func.attr}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES
        and not _is_text_replace(node)
    ]  # fmt: skip
    assert not found


def _is_text_replace(node: ast.Call) -> bool:
    """`text.replace(old, new)` has two arguments, `path.replace(target)` one."""
    return isinstance(node.func, ast.Attribute) and node.func.attr == "replace" and len(node.args) >= 2


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_module_of_the_tests_has_a_name_of_its_own() -> None:
    """pytest puts the directories of all test files on one path: of two names it would import one."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1 and not name.startswith("__")] == []
