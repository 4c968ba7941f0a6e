"""A user that holds all the connections it can get keeps nobody else from asking the agent."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from agent_stage import Stage, install_agent, wait_for
from steps import apply, projctl, projects, server

from projctl.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Opens forty connections, and each one that ends anew.
HOLD = """
import selectors, socket, sys, time
family, address = eval(sys.argv[1])
watched = selectors.DefaultSelector()
def hold():
    s = socket.socket(family)
    s.connect(address)
    watched.register(s, selectors.EVENT_READ)
for _ in range(40):
    hold()
print("held", flush=True)
while True:
    for key, _ in watched.select():
        if not key.fileobj.recv(4096):
            watched.unregister(key.fileobj)
            key.fileobj.close()
            time.sleep(0.01)
            hold()
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Lab.boot() as lab:
        yield install_agent(lab)


@pytest.mark.parametrize("address", ["(1, '/run/projctl/agent.sock')", "(2, ('127.0.0.1', 9753))"])
def test_idle_connections_blind_nobody(stage: Stage, address: str) -> None:
    apply(stage.lab, {"shop": server(listen=5001)})
    stage.get(5001)
    wait_for(lambda: projects(stage.lab)["shop"]["starts"] == 1, "the start counted")
    holder = stage.lab.popen(
        ["/usr/bin/python3", "-c", HOLD, address], user="nobody", stdout=subprocess.PIPE
    )  # fmt: skip
    with holder:
        try:
            assert holder.stdout
            assert "held" in holder.stdout.readline()
            for _ in range(5):
                assert projects(stage.lab)["shop"]["starts"] == 1
                assert stage.starts("shop") == 1
            assert "starts" in projctl(stage.lab, "status", "shop").stdout
            assert holder.poll() is None
        finally:
            holder.kill()
