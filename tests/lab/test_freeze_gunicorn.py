"""gunicorn frozen: its parent ends workers that are silent for too long, and shall not for their frost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, let_everybody_in
from test_freeze import AGENT, APPS, HELPER, reasons, wait_until_frozen

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: gunicorn of another user with workers of each kind: frozen for longer than they may be silent, and awake for long
#: enough to be ended for it.
KINDS = {"one": "sync", "sync": "sync", "threads": "gthread", "async": "uvicorn.workers.UvicornWorker"}
SILENT = 4
PROJECTS = {
    name: {
        "path": str(APPS), "listen": 5040 + number, "idle": {"freeze": "2s", "stop": "never"},
        "run": f"gunicorn {'asgi' if name == 'async' else 'wsgi'}:app --timeout {SILENT} --worker-class {kind}"
        f" --workers {1 if name == 'one' else 3}", "user": "nobody",
    }
    for number, (name, kind) in enumerate(KINDS.items())
}  # fmt: skip


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        let_everybody_in(lab)
        stage = install_agent(lab)
        apply(lab, PROJECTS)
        yield stage


def members(stage: Stage, name: str) -> set[str]:
    group = stage.systemctl("show", "-P", "ControlGroup", f"projctl-{name}.service")
    return set(stage.lab.run(["cat", f"/sys/fs/cgroup{group}/cgroup.procs"]).stdout.split())


def no_longer_freeze(stage: Stage, names: Iterable[str]) -> None:
    for name in names:
        stage.write(f"projctl-{name}.service.d/no.conf", "[X-Projctl]\nIdleFreezeSec=\n")
    stage.systemctl("daemon-reload")


def test_gunicorn_keeps_its_workers(stage: Stage) -> None:
    """Its parent would end workers whose last sign of life is from before the frost, however that ends."""
    for number in range(len(KINDS)):
        assert stage.get(5040 + number)
    before = {name: members(stage, name) for name in KINDS}
    for end in (
        lambda: [stage.get(5040 + number) for number in range(len(KINDS))],
        lambda: stage.systemctl("restart", AGENT),
        lambda: stage.systemctl("kill", "-s", "KILL", "--kill-whom=main", HELPER),
        lambda: no_longer_freeze(stage, KINDS),
    ):
        for name in KINDS:
            wait_until_frozen(stage, name)
        time.sleep(SILENT + 1)
        end()
    expected = ["connection", "lost", "lost", "settings"]
    for name in KINDS:
        wait_for(lambda name=name: reasons(stage, name) == expected, f"{name} awake")  # type: ignore[misc]
    time.sleep(2)
    for name in KINDS:
        said = stage.entries(_SYSTEMD_UNIT=f"projctl-{name}.service")
        assert not [entry["MESSAGE"] for entry in said if "TIMEOUT" in str(entry["MESSAGE"])]
    assert {name: members(stage, name) for name in KINDS} == before
