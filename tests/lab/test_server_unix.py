"""Servers on a Unix socket: its path outlives them, whatever they do with paths of their own."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import server_cases
from steps import apply, let_everybody_in, properties

if TYPE_CHECKING:
    from pathlib import Path

    from projctl.lab import Lab


@pytest.mark.parametrize("name", ["caddy", "express", "go", "nginx", "node", "phpfpm", "puma"])
def test_the_path_outlives_the_server(lab: Lab, shared: Path, name: str) -> None:
    let_everybody_in(lab)
    case = server_cases.every()[name]
    if case.prepare:
        case.prepare(shared)
    path = f"/run/{name}.sock"
    if name == "nginx":
        text = (shared / "3400.conf").read_text()
        (shared / ".conf").write_text(text.replace("[::]:3400 ipv6only=off", f"unix:{path}"))
    project = {"path": str(shared), "sandbox": "off", **case.project, "listen": path}
    apply(lab, {name: project})
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(lab.file(path)))
            assert case.exchange(connection, "/").status == 200
        lab.run(["systemctl", "stop", f"projctl-{name}.service"], timeout=120)
        unit = f"projctl-{name}.service"
        assert properties(lab, unit, "Result", "ActiveState") == {
            "Result": "success",
            "ActiveState": "inactive",
        }
