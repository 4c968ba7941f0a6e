"""Giving out ports: who keeps one, and who gets which."""

from __future__ import annotations

from port_stage import NOW, held, released, run, want

from projctl.addresses import Address
from projctl.listen import Listen
from projctl.ports import BACKEND, Want, assign
from projctl.registry import Entry, Registry


def test_new_projects_get_the_lowest_ports_in_the_order_of_the_manifest() -> None:
    ports, registry, problems = run(want("zoo", line=2), want("ant", line=5), want("bee", line=4))
    assert ports == {"zoo": 5001, "bee": 5002, "ant": 5003}
    assert registry.entries["zoo", "http"] == Entry(5001, None, "2026-01-31T12:00:00Z")
    assert not problems


def test_the_next_range_is_used_when_the_first_is_full() -> None:
    ports, _, _ = run(*(want(f"p{i}") for i in range(5)))
    assert sorted(ports.values(), key=str) == [5001, 5002, 5003, 6001, 6002]


def test_a_project_keeps_its_port_when_others_come_before_it_in_the_manifest() -> None:
    ports, _, _ = run(want("new", line=1), want("old", line=9), registry=held(old=5001))
    assert ports == {"old": 5001, "new": 5002}


def test_a_removed_project_that_comes_back_gets_its_port_again() -> None:
    _, registry, _ = run(want("a"), want("b"))
    _, registry, _ = run(want("b"), registry=registry)
    assert registry.history == {("a", "http"): Entry(5001, None, "2026-01-31T12:00:00Z")}
    ports, registry, _ = run(want("a"), want("aa", line=1), want("b"), registry=registry)
    assert ports == {"a": 5001, "b": 5002, "aa": 5003}
    assert registry.history == {}


def test_a_released_port_goes_to_whom_needs_it_when_nothing_else_is_left() -> None:
    full = held(a=5001, b=5002, c=5003, d=6001, e=6002)
    ports, _, problems = run(*(want(name) for name in "bcdef"), registry=full)
    assert (ports["f"], problems) == (5001, [])


def test_a_newcomer_leaves_the_ports_of_those_who_may_come_back() -> None:
    history = {
        ("early", "http"): Entry(5001, None, "2026-01-01T00:00:00Z"),
        ("late", "http"): Entry(5002, None, "2026-01-02T00:00:00Z"),
    }
    ports, registry, _ = run(want("new"), registry=Registry({}, history))
    assert ports == {"new": 5003}
    ports, registry, _ = run(want("new"), want("early"), registry=registry)
    assert ports == {"new": 5003, "early": 5001}
    everybody = [want(name, line=line) for line, name in enumerate(("new", "early", "p", "q", "r"), 1)]
    ports, _, problems = run(*everybody, registry=registry)
    assert (ports["p"], ports["q"], ports["r"]) == (6001, 6002, 5002)
    assert not problems


def test_of_what_somebody_had_the_port_released_longest_ago_is_given_first() -> None:
    history = {
        (name, "http"): Entry(port, None, f"2026-01-0{day}T00:00:00Z")
        for name, port, day in (("a", 5001, 3), ("b", 5002, 1), ("c", 5003, 2))
    }
    wanted = [want(name, "auto:5001-5003", line) for line, name in enumerate(("x", "y", "z"), 1)]
    ports, _, _ = run(*wanted, registry=Registry({}, history))
    assert ports == {"x": 5002, "y": 5003, "z": 5001}


def test_of_two_that_had_the_same_port_the_later_one_gets_it_back() -> None:
    history = {
        ("early", "http"): Entry(5002, None, "2026-01-01T00:00:00Z"),
        ("late", "http"): Entry(5002, None, "2026-01-02T00:00:00Z"),
    }
    ports, _, _ = run(want("early", line=1), want("late", line=2), registry=Registry({}, history))
    assert ports == {"late": 5002, "early": 5001}


def test_a_project_moves_when_its_range_no_longer_holds_its_port() -> None:
    ports, registry, _ = run(want("a", "auto:7001-7002"), registry=held(a=5001))
    assert ports == {"a": 7001}
    ports, _, _ = run(want("a"), registry=registry)
    assert ports == {"a": 5001}


def test_a_project_moves_when_somebody_outside_took_its_port() -> None:
    ports, _, problems = run(want("a"), registry=held(a=5001), taken={("0.0.0.0", 5001): "x"})
    assert (ports, problems) == ({"a": 5002}, [])


def test_automatic_ports_keep_away_from_fixed_taken_privileged_and_ephemeral_ones() -> None:
    ranges = ((1022, 1027), (32766, 32770))
    wanted = [want("fixed", 1024), *(want(f"p{i}", ranges=ranges) for i in range(5))]
    options = {"taken": {("127.0.0.1", 1025): "x"}, "privileged_below": 1024, "reserved": {32769}}
    ports, _, problems = run(*wanted, **options)  # type: ignore[arg-type]
    assert sorted(port for port in ports.values() if port) == [1024, 1026, 1027, 32766, 32767, 32769]
    assert not problems


def test_a_released_ephemeral_port_is_not_given_again_but_a_held_one_stays() -> None:
    ranges = ((32767, 32770),)
    assert run(want("a", ranges=ranges), registry=held(a=32769))[0] == {"a": 32769}
    assert run(want("a", ranges=ranges), registry=released(held(a=32769)))[0] == {"a": 32767}


def test_private_ports_are_registered_beside_public_ones() -> None:
    private = Listen(auto=True, host="127.0.0.1")
    backend = Want("a", BACKEND, private, ((30001, 30009),))
    addresses, registry, _ = assign([want("a"), backend], Registry(), {}, ephemeral=None, now=NOW)
    assert addresses["a", "backend"] == Address("tcp", "127.0.0.1", 30001)
    assert registry.entries["a", "backend"].host == "127.0.0.1"


def test_one_port_serves_two_addresses_that_do_not_overlap() -> None:
    ports, _, problems = run(want("a", "127.0.0.1:80"), want("b", "10.0.0.1:80"), want("c", "[::1]:80"))
    assert (ports, problems) == ({"a": 80, "b": 80, "c": 80}, [])


def test_unix_sockets_get_a_path_of_their_own() -> None:
    wanted = [want("a", "unix"), want("a", "unix", socket="admin"), want("b", "/run/b.sock")]
    addresses, registry, _ = assign(
        wanted, Registry(), {}, ephemeral=None, now=NOW, runtime_dir="/run/user/7"
    )
    assert [a.listen_stream for a in addresses.values()] == [
        "/run/user/7/a.admin.sock",
        "/run/user/7/a.sock",
        "/run/b.sock",
    ]
    assert not registry.entries


def test_ten_thousand_projects_fill_their_ranges_to_the_last_port() -> None:
    ranges = ((10001, 14000), (15001, 18000), (20001, 23000))
    wanted = [want(f"p{number}", ranges=ranges) for number in range(10_000)]
    ports, registry, problems = run(*wanted)
    assert len(set(ports.values())) == 10_000 and not problems
    again, after, _ = run(*reversed(wanted), registry=registry)
    assert (again, after) == (ports, registry)
    ports, _, problems = run(*wanted, want("more", ranges=ranges), registry=registry)
    assert "more" not in ports and len(problems) == 1
