"""Servers that have a reload of their own take it without losing their socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import server_cases
from server_stage import Stage
from steps import projctl, wait_for

from projctl import adapters

if TYPE_CHECKING:
    from pathlib import Path

    from projctl.lab import Lab

#: The line of the journal that says that the reload has happened.
SAID = {"nginx": "reconfiguring", "phpfpm": "reloading"}


@pytest.mark.parametrize("name", SAID)
def test_reload_keeps_process_and_socket(lab: Lab, shared: Path, name: str) -> None:
    port = 3990 + list(SAID).index(name)
    with Stage(lab, server_cases.every()[name], port, shared / name) as stage:
        assert adapters.every()[stage.adapter].reload_signal
        assert stage.ask().status == 200
        before = stage.state("MainPID", "InvocationID")
        projctl(lab, "reload", stage.name)
        wait_for(lambda: SAID[name].lower() in stage.journal().lower())
        for _ in range(20):
            assert stage.ask().status == 200
        assert stage.state("MainPID", "InvocationID") == before
