"""What is said when there is no port to give."""

from __future__ import annotations

import pytest
from port_stage import NOW, held, only, run, want

from projctl.ports import assign
from projctl.registry import Registry


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
