"""Giving out ports: who keeps one, who gets which, and what is said when there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projctl.addresses import Address, Holdings, overlap
from projctl.diagnostics import Mark, Problem
from projctl.listen import Listen, parse_listen
from projctl.model import Fleet, Project
from projctl.ports import BACKEND, Want, assign, wants
from projctl.registry import Entry, Key, Registry

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = datetime(2026, 2, 1, 12, tzinfo=UTC)
RANGES = ((5001, 5003), (6001, 6002))
EPHEMERAL = (32768, 60999)
HOSTS = (None, "::", "::1", "0.0.0.0", "127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1")


def want(project: str, listen: object = "auto", line: int | None = None, **more: object) -> Want:
    mark = Mark("shop.yaml", line, 5) if line else None
    fields = {"socket": "http", "ranges": RANGES, "path": f"$.projects.{project}.listen", **more}
    return Want(project, listen=parse_listen(listen), mark=mark, **fields)  # type: ignore[arg-type]


def given_ports(addresses: dict[Key, Address]) -> dict[str, int | None]:
    return {project: address.port for (project, _), address in addresses.items()}


def run(
    *wanted: Want,
    registry: Registry | None = None,
    taken: dict[tuple[str | None, int], str] | None = None,
    **more: object,
) -> tuple[dict[str, int | None], Registry, list[Problem]]:
    options = {"ephemeral": EPHEMERAL, "now": NOW, **more}
    addresses, after, problems = assign(wanted, registry or Registry(), taken or {}, **options)  # type: ignore[arg-type]
    return given_ports(addresses), after, problems


def held(**ports: int) -> Registry:
    return Registry(
        {(name, "http"): Entry(port, None, "2026-01-01T00:00:00Z") for name, port in ports.items()}
    )


def released(registry: Registry) -> Registry:
    return Registry({}, registry.entries)


# --- who gets which port


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


# --- what is said when there is none


def only(problems: list[Problem]) -> str:
    assert len(problems) == 1
    return str(problems[0])


def test_two_fixed_ports_name_both_places() -> None:
    ports, _, problems = run(want("a", 3400, 7), want("b", "10.0.0.1:3400", 12))
    assert ports == {"a": 3400}
    assert only(problems) == (
        'shop.yaml:12:5: $.projects.b.listen: port 3400 is taken by project "a" (shop.yaml:7)\n'
        'hint: give one of them another port, or write "auto"'
    )


def test_the_newcomer_is_refused_even_when_it_stands_first() -> None:
    ports, _, problems = run(want("new", 3400, 1), want("old", 3400, 9), registry=held(old=3400))
    assert ports == {"old": 3400}
    assert 'shop.yaml:1:5: $.projects.new.listen: port 3400 is taken by project "old"' in only(problems)


def test_a_new_fixed_port_does_not_move_a_project_that_has_it() -> None:
    ports, _, problems = run(want("new", 5001, 1), want("old", line=9), registry=held(old=5001))
    assert ports == {"old": 5001}
    assert only(problems).endswith(
        'port 5001 is taken by project "old" (shop.yaml:9)\n'
        'hint: choose another port, or first give "old" a fixed one elsewhere'
    )


def test_following_that_hint_works() -> None:
    ports, _, problems = run(want("new", 5001, 1), want("old", 5002, 9), registry=held(old=5001))
    assert (ports, problems) == ({"new": 5001, "old": 5002}, [])


def test_two_sockets_of_one_project_with_the_same_port() -> None:
    _, _, problems = run(want("a", 3400, 7), want("a", 3400, 8, socket="admin"))
    assert 'port 3400 is taken by socket "http" of the same project (shop.yaml:7)' in only(problems)


@pytest.mark.parametrize("who", ['process "nginx" (pid 812)', "systemd unit foo.socket"])
def test_a_port_somebody_else_has_names_them(who: str) -> None:
    ports, _, problems = run(want("a", "127.0.0.1:80", 3), taken={("0.0.0.0", 80): who})
    assert ports == {}
    assert f"shop.yaml:3:5: $.projects.a.listen: port 80 is taken by {who}\n" in only(problems)


def test_a_full_range_says_how_many_it_has() -> None:
    ranges = ((5001, 5100),)
    ports, _, problems = run(*(want(f"p{i:03}", line=i + 1, ranges=ranges) for i in range(101)))
    assert len(ports) == 100
    assert only(problems) == (
        "shop.yaml:101:5: $.projects.p100.listen: range 5001-5100 has 100 ports, all taken\n"
        'hint: add a range under "ports"'
    )


def test_a_full_range_says_what_else_is_in_the_way() -> None:
    taken: dict[tuple[str | None, int], str] = {("127.0.0.1", 32767): "x"}
    _, _, problems = run(want("a", "auto:32767-32768"), taken=taken)
    assert only(problems) == (
        "$.projects.a.listen: range 32767-32768 has 2 ports, none free: "
        "1 taken, 1 in the ephemeral range 32768-60999\n"
        'hint: widen the range, or write "auto"'
    )
    _, _, problems = run(want("a", ranges=((1, 3), (2, 4))), privileged_below=1024)
    assert "ranges 1-3, 2-4 have 4 ports, none free: 4 below 1024, for root only" in only(problems)


def test_a_fixed_ephemeral_port_is_a_warning_unless_it_is_reserved() -> None:
    ports, _, problems = run(want("a", 40000, 3))
    assert ports == {"a": 40000}
    assert problems[0].severity == "warning"
    assert "warning: port 40000 is in the ephemeral range 32768-60999" in only(problems)
    assert run(want("a", 40000), reserved={40000})[2] == []
    assert run(want("a", 40000), ephemeral=None)[2] == []


def test_a_privileged_port_is_an_error_for_an_ordinary_user() -> None:
    ports, _, problems = run(want("a", 80, 3), privileged_below=1024)
    assert ports == {}
    assert "port 80 is below 1024: only root may listen there" in only(problems)


def test_the_same_unix_socket_twice_names_both_places() -> None:
    wanted = [want("a", "/run/x.sock", 3), want("b", "/run/x.sock", 6)]
    addresses, _, problems = assign(wanted, Registry(), {}, ephemeral=None, now=NOW)
    assert list(addresses) == [("a", "http")]
    assert (
        'shop.yaml:6:5: $.projects.b.listen: socket /run/x.sock is taken by project "a" (shop.yaml:3)'
        in only(problems)
    )


def test_a_unix_socket_somebody_else_has_names_them() -> None:
    others = {"/run/x.sock": 'process "x" (pid 3)'}
    _, _, problems = assign(
        [want("a", "/run/x.sock")], Registry(), {}, ephemeral=None, now=NOW, taken_paths=others
    )
    assert 'socket /run/x.sock is taken by process "x" (pid 3)' in only(problems)


def test_a_path_of_our_making_may_be_too_long() -> None:
    wanted = [want("a", "unix", 3), want("b" * 40, "unix", 6)]
    addresses, _, problems = assign(
        wanted, Registry(), {}, ephemeral=None, now=NOW, runtime_dir="/run/" + "x" * 60
    )
    assert list(addresses) == [("a", "http")]
    said = only(problems)
    assert "shop.yaml:6:5: " in said and "must have at most 107 bytes in its path, it has 111" in said


# --- what holds for every input

registries = st.dictionaries(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["http", "admin"])),
    st.builds(
        Entry,
        st.integers(5000, 5012),
        st.sampled_from(HOSTS),
        st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
    ),
)
taken_ports = st.dictionaries(st.tuples(st.sampled_from(HOSTS), st.integers(5000, 5012)), st.just("somebody"))


@st.composite
def fleets(draw: st.DrawFn) -> list[Want]:
    keys = draw(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["http", "admin"])), unique=True)
    )
    span = st.tuples(st.integers(5000, 5012), st.integers(0, 6)).map(lambda s: (s[0], s[0] + s[1]))
    listen = st.one_of(
        st.builds(Listen, host=st.sampled_from(HOSTS), port=st.integers(5000, 5012)),
        st.builds(Listen, host=st.sampled_from(HOSTS), auto=st.just(True)),
        st.builds(Listen, auto=st.just(True), ranges=st.tuples(span)),
        st.builds(Listen, kind=st.just("unix"), path=st.sampled_from([None, "/run/1", "/run/2"])),
    )
    lines = draw(st.permutations(range(1, len(keys) + 1)))
    ranges = draw(st.lists(span, min_size=1, max_size=3).map(tuple))
    return [
        Want(*key, draw(listen), ranges, Mark("m.yaml", line, 1), f"$.{key}")
        for key, line in zip(keys, lines, strict=True)
    ]


def settle(
    wanted: list[Want], registry: Registry, taken: dict[tuple[str | None, int], str]
) -> tuple[dict[Key, Address], Registry, list[Problem]]:
    return assign(wanted, registry, taken, ephemeral=(5010, 5020), now=NOW, privileged_below=5002)


@settings(deadline=None)
@given(fleets(), registries, registries, taken_ports)
def test_never_two_owners(
    wanted: list[Want],
    entries: dict[Key, Entry],
    history: dict[Key, Entry],
    taken: dict[tuple[str | None, int], str],
) -> None:
    addresses, registry, problems = settle(wanted, Registry(entries, history), taken)
    for one, other in combinations(addresses.values(), 2):
        if one.kind == "tcp" == other.kind:
            assert one.port != other.port or not overlap(one.host, other.host)
        else:
            assert one != other
    for address in addresses.values():
        assert not any(address.port == port and overlap(address.host, host) for host, port in taken)
    assert {key: (e.host, e.port) for key, e in registry.entries.items()} == {
        key: (a.host, a.port) for key, a in addresses.items() if a.kind == "tcp"
    }
    refused = {w.key for w in wanted} - set(addresses)
    assert len([p for p in problems if p.severity == "error"]) == len(refused)
    assert all(problem.mark and problem.path for problem in problems)


@settings(deadline=None)
@given(fleets(), registries, taken_ports)
def test_everybody_gets_what_it_may_have(
    wanted: list[Want], history: dict[Key, Entry], taken: dict[tuple[str | None, int], str]
) -> None:
    addresses, _, _ = settle(wanted, Registry({}, history), taken)
    for asked in wanted:
        if asked.key in addresses and asked.listen.kind == "tcp":
            port = addresses[asked.key].port
            assert port
            assert port == asked.listen.port or (asked.allows(port) and asked.listen.port is None)
            assert port >= 5002
            assert port < 5010 or asked.listen.port


@settings(deadline=None)
@given(fleets(), registries, registries, taken_ports, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    wanted: list[Want],
    entries: dict[Key, Entry],
    history: dict[Key, Entry],
    taken: dict[tuple[str | None, int], str],
    random: object,
) -> None:
    shuffled = sorted(wanted, key=lambda _: random.random())  # type: ignore[attr-defined]
    before = settle(wanted, Registry(entries, history), taken)
    assert settle(shuffled, Registry(entries, history), taken) == before


@settings(deadline=None)
@given(fleets(), registries)
def test_the_second_run_changes_nothing(wanted: list[Want], history: dict[Key, Entry]) -> None:
    addresses, registry, _ = settle(wanted, Registry({}, history), {})
    known = [w for w in wanted if w.key in addresses]
    again, after, _ = assign(known, registry, {}, ephemeral=(5010, 5020), now=LATER, privileged_below=5002)
    assert again == addresses
    assert after == registry


@settings(deadline=None)
@given(fleets(), fleets(), st.sets(st.sampled_from("abcdefgh")))
def test_nobody_moves_when_others_come_and_go(old: list[Want], new: list[Want], gone: set[str]) -> None:
    addresses, registry, _ = settle(old, Registry(), {})
    staying = [w for w in old if w.project not in gone and w.key in addresses]
    coming = [w for w in new if w.key not in {s.key for s in old}]
    after, _, _ = settle(staying + coming, registry, {})
    kept = {w.key: addresses[w.key] for w in staying if w.listen.kind == "tcp"}
    assert {key: after.get(key) for key in kept} == kept


@settings(deadline=None)
@given(fleets(), fleets(), st.sets(st.sampled_from("abcdefgh")), taken_ports)
def test_who_comes_back_gets_its_port_unless_somebody_needs_it(
    old: list[Want], new: list[Want], gone: set[str], taken: dict[tuple[str | None, int], str]
) -> None:
    addresses, first, _ = settle(old, Registry(), taken)
    staying = [w for w in old if w.project not in gone and w.key in addresses]
    coming = [w for w in new if w.key not in {o.key for o in old}]
    between, second, _ = settle(staying + coming, first, taken)
    back = [w for w in old if w.project in gone and w.key in addresses and w.listen.kind == "tcp"]
    present = [w for w in staying + coming if w.key in between]
    after, _, _ = settle(present + back, second, taken)
    others = [address for key, address in after.items() if key not in {w.key for w in back}]
    for w in back:
        before = addresses[w.key]
        if not any(before.port == o.port and overlap(before.host, o.host) for o in others):
            assert after.get(w.key) == before


@settings(deadline=None)
@given(fleets(), taken_ports)
def test_only_those_move_that_must(wanted: list[Want], taken: dict[tuple[str | None, int], str]) -> None:
    addresses, registry, _ = settle(wanted, Registry(), {})
    known = [w for w in wanted if w.key in addresses]
    after, _, problems = settle(known, registry, taken)
    for w in known:
        before = addresses[w.key]
        if before.kind == "tcp" and not any(
            before.port == port and overlap(before.host, host) for host, port in taken
        ):
            assert after.get(w.key) == before
    assert len(after) + len([p for p in problems if p.severity == "error"]) == len(known)


def test_ten_thousand_projects_fill_their_ranges_to_the_last_port() -> None:
    ranges = ((10001, 14000), (15001, 18000), (20001, 23000))
    wanted = [want(f"p{number}", ranges=ranges) for number in range(10_000)]
    ports, registry, problems = run(*wanted)
    assert len(set(ports.values())) == 10_000 and not problems
    again, after, _ = run(*reversed(wanted), registry=registry)
    assert (again, after) == (ports, registry)
    ports, _, problems = run(*wanted, want("more", ranges=ranges), registry=registry)
    assert "more" not in ports and len(problems) == 1


@settings(deadline=None)
@given(st.sampled_from(HOSTS), st.sampled_from(HOSTS))
def test_overlap_knows_no_order(one: str | None, other: str | None) -> None:
    assert overlap(one, other) == overlap(other, one)
    assert overlap(one, one)


# --- addresses and holdings


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (None, "10.0.0.1", True),
        (None, "::1", True),
        ("::", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::1", False),
        ("0.0.0.0", "::", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("::1", "127.0.0.1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
    ],
)
def test_which_addresses_overlap(one: str | None, other: str | None, expected: bool) -> None:
    assert overlap(one, other) is expected


@pytest.mark.parametrize(
    ("address", "listen_stream", "display"),
    [
        (Address("tcp", None, 3400), "3400", "*:3400"),
        (Address("tcp", "127.0.0.1", 3400), "127.0.0.1:3400", "127.0.0.1:3400"),
        (Address("tcp", "::1", 3400), "[::1]:3400", "[::1]:3400"),
        (Address("unix", path="/run/projctl/x.sock"), "/run/projctl/x.sock", "/run/projctl/x.sock"),
    ],
)
def test_how_addresses_are_written(address: Address, listen_stream: str, display: str) -> None:
    assert (address.listen_stream, address.display) == (listen_stream, display)


def test_holdings_leave_out_what_is_our_own_and_ask_the_first_source() -> None:
    units: dict[tuple[str | None, int], str] = {(None, 80): "unit"}
    live: dict[tuple[str | None, int], str] = {
        (None, 80): "systemd",
        ("::", 5001): "systemd",
        ("::1", 5001): "x",
    }
    own = [Address("tcp", None, 5001), Address("unix", path="/run/x")]
    assert dict(Holdings(units, live, own=own)) == {(None, 80): "unit", ("::1", 5001): "x"}
    assert ("::", 5001) not in Holdings(live, own=own)


def test_an_own_socket_for_all_addresses_may_show_as_one_for_all_of_ipv4() -> None:
    assert dict(Holdings({("0.0.0.0", 5001): "systemd"}, own=[Address("tcp", None, 5001)])) == {}


def test_wants_of_a_fleet_carry_their_places() -> None:
    listen = {"public": 80, "admin": "auto"}
    shop = Project(name="shop", path="/srv", run=["x"], listen=listen)  # type: ignore[arg-type]
    blog = Project(name="blog", path="/srv", run=["x"])  # type: ignore[arg-type]
    place = Mark("m.yaml", 4, 9)
    fleet = Fleet(
        projects={"shop": shop, "blog": blog},
        marks={("shop", "listen", "admin"): place, ("blog",): Mark("m.yaml", 9, 3)},
    )
    found = {w.key: w for w in wants(fleet, {"blog": Listen(auto=True, host="127.0.0.1")})}
    assert (found["shop", "admin"].mark, found["shop", "admin"].path) == (
        place,
        "$.projects.shop.listen.admin",
    )
    assert found["blog", "http"].path == "$.projects.blog.listen"
    assert found["blog", "http"].mark == Mark("m.yaml", 9, 3)
    assert found["blog", "backend"].ranges == blog.backend_ports
