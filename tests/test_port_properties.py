"""What holds for ports whatever is wanted, had and taken."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from port_stage import HOSTS, LATER, NOW

from projctl.addresses import Address, overlap
from projctl.diagnostics import Mark, Problem
from projctl.listen import Listen
from projctl.ports import Want, assign
from projctl.registry import Entry, Key, Registry

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
