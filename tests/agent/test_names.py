"""Names of units and their object paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import names


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("projctl-blog.service", ("blog", False)),
        ("projctl-blog.backend.service", ("blog", True)),
        ("projctl-a-1.service", ("a-1", False)),
        ("projctl-agent.service", None),
        ("projctl-1a.service", None),
        ("projctl-a.service\n", None),
        ('projctl-a"} 1\nx{y=".service', None),
        ("projctl-" + "a" * 63 + ".service", ("a" * 63, False)),
        ("projctl-" + "a" * 64 + ".service", None),
        ("projctl-é.service", None),
        ("projctl-blog@0.service", ("blog@0", False)),
        ("projctl-blog.backend@12.service", ("blog@12", True)),
        ("projctl-blog@.service", None),
        ("projctl-blog@1.backend.service", None),
        ("projctl-blog@a.service", None),
        ("projctl-agent@1.service", None),
        ("xprojctl-a.service", None),
    ],
)
def test_instance_of_service(unit: str, found: tuple[str, bool] | None) -> None:
    assert names.instance_of_service(unit) == found


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("projctl-blog.socket", "blog"),
        ("projctl-blog.admin.socket", "blog"),
        ("projctl-blog@1.socket", "blog@1"),
        ("projctl-blog.admin@1.socket", "blog@1"),
        ("projctl-blog@1.admin.socket", None),
        ("projctl-agent-metrics.socket", None),
        ("projctl-blog.service", None),
    ],
)
def test_instance_of_socket(unit: str, found: str | None) -> None:
    assert names.instance_of_socket(unit) == found


def test_the_project_of_an_instance() -> None:
    assert names.project_and_number("blog") == ("blog", None)
    assert names.project_and_number("blog@0") == ("blog", "0")


def test_object_path_as_systemd_writes_it() -> None:
    assert names.object_path("projctl-a1.backend.service") == f"{names.PATH_PREFIX}a1_2ebackend_2eservice"


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_unit_comes_back_from_its_path(unit: str) -> None:
    assert names.unit_of_path(names.object_path(unit)) == unit
