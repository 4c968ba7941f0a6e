"""The plan: what each kind of difference leads to."""

from __future__ import annotations

import pytest

from projctl.plan import Plan, State, compare, depth

SOCKET = "[Unit]\nPartOf=projctl.target\n[Socket]\nListenStream=\nListenStream={}\n[Install]\nWantedBy=projctl.target\n"
SERVICE = "# Rendered from a:{}\n[Service]\nExecStart=/bin/{}\n[X-Projctl]\nManifest=a:{}\nIdleStopSec={}\n"
FILES = {
    "projctl-shop.socket": SOCKET.format(3400),
    "projctl-shop.service": SERVICE.format(1, "true", 1, 60),
    "projctl.target": "[Unit]\n",
}
LINKS = frozenset({"projctl-shop.socket", "projctl.target"})
RUNS = {
    "projctl-shop.socket": State("active"),
    "projctl-shop.service": State("active"),
    "projctl.target": State("active"),
}
SLEEPS = RUNS | {"projctl-shop.service": State("inactive")}


def with_service(*values: object) -> dict[str, str]:
    return FILES | {"projctl-shop.service": SERVICE.format(*values)}


def test_nothing_to_do() -> None:
    plan = compare(FILES, FILES, RUNS, LINKS)
    assert plan.empty and plan == Plan()


def test_new_units_cost_no_reload() -> None:
    plan = compare(FILES, {}, {}, frozenset())
    assert sorted(plan.write) == sorted(FILES)
    assert not plan.reload and not plan.stop
    assert plan.start == ("projctl-shop.socket",) and set(plan.link) == LINKS
    assert plan.moved == {"shop"}
    assert {step.sign for step in plan.steps} == {"+"}


@pytest.mark.parametrize(
    ("values", "how"),
    [((2, "true", 2, 60), "comment"), ((1, "true", 1, 61), "settings"), ((1, "false", 1, 60), "service")],
)
def test_depth_of_a_service(values: tuple[object, ...], how: str) -> None:
    assert depth(FILES["projctl-shop.service"], SERVICE.format(*values)) == how


def test_a_place_in_the_manifest_is_rewritten_unseen() -> None:
    plan = compare(with_service(2, "true", 2, 60), FILES, RUNS, LINKS)
    assert list(plan.write) == ["projctl-shop.service"] and plan.keep_time == {"projctl-shop.service"}
    assert not plan.reload and not plan.restart and not plan.steps and not plan.empty


def test_settings_reload_and_restart_nothing() -> None:
    plan = compare(with_service(1, "true", 1, 61), FILES, RUNS, LINKS)
    assert plan.reload and not plan.restart and not plan.stop and not plan.start
    assert (plan.touched, plan.moved) == ({"shop"}, set())


def test_a_changed_service_restarts_only_what_runs() -> None:
    wanted = with_service(1, "false", 1, 60)
    running, asleep = compare(wanted, FILES, RUNS, LINKS), compare(wanted, FILES, SLEEPS, LINKS)
    assert (running.restart, running.moved) == (("projctl-shop.service",), {"shop"})
    assert (asleep.restart, asleep.moved) == ((), set())


def test_a_changed_socket_closes_before_it_is_written() -> None:
    wanted = with_service(1, "false", 1, 60) | {"projctl-shop.socket": SOCKET.format(3401)}
    plan = compare(wanted, FILES, RUNS, LINKS)
    assert plan.stop == ("projctl-shop.socket", "projctl-shop.service")
    assert plan.start == ("projctl-shop.socket",)
    assert plan.reload and plan.restart == ()


def test_one_socket_closes_with_all_of_its_server_and_no_other() -> None:
    more = {"projctl-shop.admin.socket": SOCKET.format(3401), "projctl-blog.socket": SOCKET.format(3500)}
    states = RUNS | dict.fromkeys(more, State("active"))
    files, links = FILES | more, LINKS | frozenset(more)
    plan = compare(files | {"projctl-shop.admin.socket": SOCKET.format(3402)}, files, states, links)
    assert plan.stop == ("projctl-shop.socket", "projctl-shop.admin.socket", "projctl-shop.service")
    assert plan.start == ("projctl-shop.admin.socket", "projctl-shop.socket")
    before = FILES | {"projctl-blog.socket": more["projctl-blog.socket"]}
    added = compare(files, before, {unit: states[unit] for unit in before}, frozenset(before))
    assert added.stop == ("projctl-shop.socket", "projctl-shop.service")
    assert added.start == ("projctl-shop.admin.socket", "projctl-shop.socket")


def test_another_kind_of_server_closes_its_sockets() -> None:
    wanted = FILES | {"projctl-shop.backend.service": SERVICE.format(1, "true", 1, 60)}
    assert compare(wanted, FILES, RUNS, LINKS).stop == ("projctl-shop.socket", "projctl-shop.service")


def test_what_runs_since_before_its_file_was_written_restarts() -> None:
    states = RUNS | {"projctl-shop.service": State("active", outdated=True)}
    plan = compare(FILES, FILES, states, LINKS)
    assert plan.restart == ("projctl-shop.service",) and plan.steps


def test_a_removed_project_stops_sockets_first() -> None:
    wanted = {"projctl.target": FILES["projctl.target"]}
    plan = compare(wanted, FILES, RUNS, LINKS)
    assert plan.stop == ("projctl-shop.socket", "projctl-shop.service")
    assert plan.delete == ("projctl-shop.service", "projctl-shop.socket")
    assert plan.reload and plan.unlink == ("projctl-shop.socket",)


def test_timers_stop_before_what_they_start() -> None:
    timed = {
        f"projctl-shop.{part}.{kind}": "[Unit]\n" for part in ("cool", "warm") for kind in ("target", "timer")
    }
    files = FILES | timed
    plan = compare({}, files, dict.fromkeys(files, State("active")), LINKS)
    assert plan.stop[:3] == ("projctl-shop.cool.timer", "projctl-shop.warm.timer", "projctl-shop.socket")


def test_a_failed_unit_is_forgotten_with_its_project() -> None:
    states = SLEEPS | {"projctl-shop.service": State("failed")}
    assert compare({}, FILES, states, LINKS).forget == ("projctl-shop.service",)


def test_what_a_killed_apply_left_converges() -> None:
    written = compare(FILES, FILES, SLEEPS | {"projctl-shop.socket": State("inactive")}, LINKS)
    assert written.start == ("projctl-shop.socket",) and not written.empty
    stale = compare(
        FILES, FILES, SLEEPS | {"projctl-shop.service": State("inactive", needs_reload=True)}, LINKS
    )
    assert stale.reload and not stale.empty
    unlinked = compare(FILES, FILES, SLEEPS, frozenset())
    assert set(unlinked.link) == LINKS and not unlinked.empty
