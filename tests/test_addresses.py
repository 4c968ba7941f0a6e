"""Addresses: which overlap, how they are written, who holds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from port_stage import HOSTS

from projctl.addresses import Address, Holdings, overlap
from projctl.diagnostics import Mark
from projctl.listen import Listen
from projctl.model import Fleet, Project
from projctl.ports import wants


@settings(deadline=None)
@given(st.sampled_from(HOSTS), st.sampled_from(HOSTS))
def test_overlap_knows_no_order(one: str | None, other: str | None) -> None:
    assert overlap(one, other) == overlap(other, one)
    assert overlap(one, one)


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
