"""Whole trees of units, for several versions of systemd, against what lies in tests/golden/."""

from __future__ import annotations

from pathlib import Path

import pytest

from projctl import __version__, manifest, render
from projctl.addresses import Address
from projctl.machine import Facts
from projctl.server import Target

GOLDEN = Path(__file__).parent / "golden"
ADDRESSES = {
    ("blog", "http"): Address("tcp", None, 3400),
    ("chat", "http"): Address("tcp", "127.0.0.1", 3401),
    ("data", "http"): Address("tcp", None, 5001),
    ("data", "backend"): Address("tcp", "127.0.0.1", 30001),
    ("feed", "public"): Address("tcp", None, 3402),
    ("feed", "admin"): Address("unix", path="/run/projctl/feed.admin.sock"),
    ("pool", "public"): Address("tcp", None, 3410),
    ("pool", "admin@0"): Address("tcp", None, 3411),
    ("pool", "admin@1"): Address("tcp", None, 3412),
    ("vite", "http"): Address("tcp", None, 3420),
    ("vite", "stats"): Address("unix", path="/run/projctl/vite.stats.sock"),
    ("web", "http"): Address("tcp", "127.0.0.1", 3421),
}
FACTS = {
    "blog": Facts("/usr/bin/gunicorn", (), 0, 0, "/root", "root"),
    "chat": Facts("/home/chat/venv/bin/uvicorn", ("/home/chat/venv",), 1001, 1001, "/home/chat", "chat"),
    "data": Facts("/usr/bin/datasette", (), 0, 0, "/root", "root"),
    "pool": Facts("/usr/bin/gunicorn", (), 1002, 1002, "/home/pool", "pool"),
    "vite": Facts("/srv/vite/node_modules/.bin/vite", (), 0, 0, "/root", "root"),
    "web": Facts("/usr/bin/npm", (), 0, 0, "/root", "root"),
    "feed": Facts(
        "/root/feed/.venv/bin/gunicorn", ("/root/.pyenv/versions/3.12.1",), None, None, None, "root", True
    ),
}
TREES = [(252, False), (257, False), (252, True)]


def tree(systemd: int, *, user_mode: bool) -> dict[str, str]:
    """The units of the golden manifest."""
    fleet, problems = manifest.load([GOLDEN / "manifest.yaml"], layered=True)
    assert not problems
    target = Target(systemd, user_mode, "/usr/bin/python3", "/usr/lib/projctl/ready.py")
    origins = {name: f"/etc/projctl/projects.d/golden.yaml:{5 + i}" for i, name in enumerate(fleet.projects)}
    return render.units(fleet, ADDRESSES, FACTS, target, origins)


@pytest.mark.parametrize(("systemd", "user_mode"), TREES)
def test_tree(systemd: int, user_mode: bool, request: pytest.FixtureRequest) -> None:
    directory = GOLDEN / f"{'user' if user_mode else 'system'}-{systemd}"
    wanted = {
        name: text.replace(__version__, "VERSION")
        for name, text in tree(systemd, user_mode=user_mode).items()
    }
    if request.config.getoption("--update-golden"):
        directory.mkdir(exist_ok=True)
        for path in directory.iterdir():
            path.unlink()
        for name, text in wanted.items():
            (directory / name).write_text(text)
    golden = {path.name: path.read_text() for path in directory.iterdir()}
    assert sorted(golden) == sorted(wanted)
    for name, text in golden.items():
        assert wanted[name] == text, name
