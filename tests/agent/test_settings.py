"""The section [X-Projctl] in systemd's own syntax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from projctl_agent import settings
from projctl_agent.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

UNIT = """\
# Rendered by projctl 0.1.0
[Service]
ExecStart=/bin/true
IdleStopSec=1
[X-Projctl]
Project=blog
Role=server
Adapter=gunicorn
Manifest=/etc/projctl/projects.d/a.yaml:3
Sockets=projctl-blog.socket projctl-blog.admin.socket
IdleStopSec=900
MinUptimeSec=1.5
BusyCpu=0.5%
HoldConnectionsSec=0
MaxRuntimeSec=infinity
"""


def read(*texts: str, service: str = "projctl-blog.service") -> Settings | None:
    return settings.interpret(service, settings.parse_section(texts))


def test_all_keys() -> None:
    assert read(UNIT) == Settings(
        instance="blog",
        service="projctl-blog.service",
        primary="projctl-blog.service",
        sockets=("projctl-blog.socket", "projctl-blog.admin.socket"),
        idle_stop=900.0,
        min_uptime=1.5,
        busy_share=0.005,
        hold_connections=0.0,
    )


def test_a_drop_in_wins_key_by_key() -> None:
    found = read(
        UNIT,
        "[Service]\nIdleStopSec=5\n[X-Projctl]\n; comment\nIdleStopSec = infinity \n[Unit]\nMinUptimeSec=9\n",
    )
    assert found
    assert found.idle_stop is None
    assert found.min_uptime == 1.5


def test_a_backslash_continues_the_line_over_comments() -> None:
    keys = settings.parse_section(
        ["[X-Projctl]\nSockets=projctl-a.socket \\\n# between\n  projctl-a.b.socket\nRole=server"]
    )
    assert keys == {
        "Sockets": "projctl-a.socket    projctl-a.b.socket",
        "Role": "server",
    }


def test_the_backend_of_a_proxy_is_the_primary_unit() -> None:
    found = read(UNIT, "[X-Projctl]\nRole=proxy\nBackend=projctl-blog.backend.service\n")
    assert found
    assert (found.service, found.primary) == ("projctl-blog.service", "projctl-blog.backend.service")


@pytest.mark.parametrize(
    "backend", ["", "sshd.service", "projctl-other.backend.service", "projctl-blog.service"]
)
def test_a_foreign_backend_is_not_followed(backend: str) -> None:
    found = read(UNIT, f"[X-Projctl]\nRole=proxy\nBackend={backend}\n")
    assert found
    assert found.primary == "projctl-blog.service"


def test_an_instance_is_called_by_its_number() -> None:
    text = "[X-Projctl]\nProject=blog\nInstance=1\nRole=proxy\nBackend=projctl-blog.backend@1.service\n"
    found = read(text, service="projctl-blog@1.service")
    assert found
    assert (found.instance, found.primary) == ("blog@1", "projctl-blog.backend@1.service")
    assert found.sockets == ("projctl-blog@1.socket",)
    other = read(text.replace("backend@1", "backend@0"), service="projctl-blog@1.service")
    assert other
    assert other.primary == "projctl-blog@1.service"


def test_a_socket_that_does_not_count_is_not_watched() -> None:
    found = read(UNIT, "[X-Projctl]\nSockets=projctl-blog.socket\n")
    assert found
    assert found.sockets == ("projctl-blog.socket",)


def test_foreign_sockets_are_left_out() -> None:
    found = read(UNIT, "[X-Projctl]\nSockets=sshd.socket projctl-agent.socket projctl-blog.socket\n")
    assert found
    assert found.sockets == ("projctl-blog.socket",)


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ("projctl-blog.service", "[Service]\nExecStart=/bin/true\n"),
        ("projctl-agent.service", UNIT),
        ("projctl-blog.backend.service", UNIT),
        ("projctl-blog.service", UNIT + "Role=backend\n"),
        ("sshd.service", UNIT),
        ("projctl-Blog.service", UNIT),
        ("projctl-blog@x.service", UNIT),
    ],
)
def test_what_is_no_project(service: str, text: str) -> None:
    assert read(text, service=service) is None


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "1h", "inf"])
def test_a_value_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=f'IdleStopSec must be a number of seconds or "infinity", "{value}"'):
        read(UNIT, f"[X-Projctl]\nIdleStopSec={value}\n")


def test_files_that_are_gone_count_as_empty(tmp_path: Path) -> None:
    present = tmp_path / "a.service"
    present.write_text("[X-Projctl]\nRole=server\n")
    assert settings.read_texts([str(tmp_path / "gone"), str(present)]) == ["", "[X-Projctl]\nRole=server\n"]


def test_only_a_newline_ends_a_line() -> None:
    found = settings.parse_section(["[X-Projctl]\nManifest=/a\u2028\x85\x0cIdleStopSec=1\n"])
    assert found == {"Manifest": "/a\u2028\x85\x0cIdleStopSec=1"}
