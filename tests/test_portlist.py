"""What `projctl ports` says: ranges add up, every port has its project, free ones are free."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from projctl import portlist
from projctl.addresses import Policy
from projctl.model import Fleet, Project
from projctl.portlist import Holding, PortUse, ranges, use_of, uses
from projctl.registry import Entry, Registry

SINCE = "2026-01-31T12:00:00Z"
POLICY = Policy((32768, 60999), {32770}, 0)


def registry(**given_now: int) -> Registry:
    return Registry({(name, "http"): Entry(port, None, SINCE) for name, port in given_now.items()})


def fleet(**settings_: object) -> Fleet:
    return Fleet(projects={"a": Project(name="a", path="/srv", run=["x"], **settings_)})  # type: ignore[arg-type]


def test_the_default_ranges_are_shown_where_nothing_names_others() -> None:
    assert ranges(None) == [
        ("ports", (5001, 5100)),
        ("ports", (6001, 6100)),
        ("ports", (7001, 7100)),
        ("backend_ports", (30001, 32000)),
    ]


def test_ranges_of_manifests_are_shown_once_each() -> None:
    asked = fleet(ports=["8001-8002", "8001-8002"], backend_ports="9001-9002", listen="auto:7001-7003")
    assert ranges(asked) == [
        ("ports", (8001, 8002)),
        ("listen", (7001, 7003)),
        ("backend_ports", (9001, 9002)),
    ]


def test_how_full_a_range_is() -> None:
    holding = Holding(registry(a=32766, b=32766, c=5001), frozenset({32766, 32767, 32769}), POLICY)
    use = use_of("ports", (32765, 32772), holding)
    assert use.as_json() == {
        "kind": "ports", "first": 32765, "last": 32772,
        "total": 8, "used": 1, "others": 2, "barred": 3, "free": 2, "utilisation": 0.75,
    }  # fmt: skip


numbers = st.integers(5000, 5020)
holdings = st.builds(
    Holding,
    st.builds(Registry, *[st.dictionaries(
        st.tuples(st.sampled_from("abcdef"), st.just("http")), st.builds(Entry, numbers, st.none(), st.just(SINCE))
    )] * 2),
    st.frozensets(numbers),
    st.builds(Policy, st.just((5010, 5015)), st.frozensets(numbers), st.integers(0, 5005)),
)  # fmt: skip


@settings(deadline=None)
@given(holdings, numbers, numbers)
def test_ranges_add_up_and_the_free_ports_are_those_that_are_counted(
    holding: Holding, one: int, other: int
) -> None:
    first, last = min(one, other), max(one, other)
    use = use_of("ports", (first, last), holding)
    assert use.total == use.used + use.others + use.barred + use.free
    assert 0 <= use.utilisation <= 1
    found = list(portlist.free(holding, fleet(ports=f"{first}-{last}")))
    assert len(found) == len(set(found)) == use.free
    taken = {entry.port for entry in holding.registry.entries.values()} | holding.others
    assert not taken & set(found)
    assert not any(holding.is_barred(port) for port in found)


def test_ports_somebody_had_are_offered_last() -> None:
    holding = Holding(Registry({}, {("gone", "http"): Entry(5001, None, SINCE)}))
    assert list(portlist.free(holding, fleet(ports="5001-5003"))) == [5002, 5003, 5001]


def test_who_has_which_port_since_when_and_how_often_started() -> None:
    entries = {
        ("pool", "http@10"): Entry(5010, None, SINCE),
        ("pool", "http@2"): Entry(5002, None, SINCE),
        ("files", "backend"): Entry(30001, "127.0.0.1", SINCE),
        ("wide", "http"): Entry(80, None, SINCE),
        ("planned", "http"): Entry(81, None, SINCE),
    }
    starts = {"pool@2": 3, "pool@10": 4, "files": 5, "wide@0": 1, "wide@1": 2}
    assert uses(entries, {"pool", "files", "wide"}, starts) == [
        PortUse("files", "backend", "127.0.0.1", 30001, SINCE, True, 5),
        PortUse("planned", "http", None, 81, SINCE, False, None),
        PortUse("pool", "http@2", None, 5002, SINCE, True, 3),
        PortUse("pool", "http@10", None, 5010, SINCE, True, 4),
        PortUse("wide", "http", None, 80, SINCE, True, 3),
    ]
