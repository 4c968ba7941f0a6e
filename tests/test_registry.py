"""The port registry as text: it comes back as it was, and damage is named."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projctl.diagnostics import ProjctlError
from projctl.registry import HISTORY_SIZE, DamagedError, Entry, Registry, dumps, loads, salvage, timestamp

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROW = {"project": "a", "socket": "http", "host": None, "port": 80, "since": "2026-01-31T12:00:00Z"}

STAYS = Entry(80, None, "2026-01-31T12:00:00Z")

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))
hosts = st.one_of(st.none(), st.ip_addresses().filter(lambda a: not getattr(a, "scope_id", None)).map(str))
entries = st.dictionaries(
    st.tuples(names, names), st.builds(Entry, st.integers(1, 65535), hosts, moments.map(timestamp))
)


def text(**changes: object) -> str:
    return json.dumps({"version": 1, "given": [], "released": [], **changes})


def row(**changes: object) -> str:
    return text(given=[{**ROW, **changes}])


@settings(deadline=None)
@given(entries, entries)
def test_what_is_written_is_read_again(
    given_now: dict[tuple[str, str], Entry], past: dict[tuple[str, str], Entry]
) -> None:
    registry = Registry(given_now, past)
    assert loads(dumps(registry)) == registry


def test_the_text_is_sorted_and_has_one_port_a_line() -> None:
    one, two = Entry(5001, None, "2026-01-31T12:00:00Z"), Entry(5002, "::1", "2026-01-31T12:00:00Z")
    since = '"since": "2026-01-31T12:00:00Z"}'
    assert dumps(Registry({("b", "http"): one, ("a", "http"): two})) == (
        '{\n"version": 1,\n"given": [\n'
        f'  {{"project": "a", "socket": "http", "host": "::1", "port": 5002, {since},\n'
        f'  {{"project": "b", "socket": "http", "host": null, "port": 5001, {since}\n'
        '],\n"released": []\n}\n'
    )


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("", "line 1, column 1: expecting value"),
        ('{\n"version": 1,\n"gi', "line 3, column 1: unterminated string"),
        ("[]", "must be a JSON object"),
        ("[" * 100_000, "it is nested too deeply"),
        ("{}", '"version" must be 1'),
        (text(version=True), '"version" must be 1'),
        (text(more=1), 'the file has the unknown key "more", must be one of: version, given, released'),
        ('{"version": 1, "given": []}', 'the file must have the key "released"'),
        ('{"version": 1, "version": 1}', 'repeated key "version"'),
        (text(given={}), '"given" must be a list'),
        (text(released=[1]), "released[0] must be an object"),
        (text(given=[{}]), 'given[0] must have the key "project"'),
        (row(x=1), 'given[0] has the unknown key "x", must be one of: project, socket, host, port, since'),
        (row(project="../a"), "given[0].project must be a name of lower-case letters, digits and hyphens"),
        (row(socket=7), "given[0].socket must be a name of lower-case letters, digits and hyphens"),
        (row(port=0), "given[0].port must be a port from 1 to 65535"),
        (row(port=True), "given[0].port must be a port from 1 to 65535"),
        (row(port="80"), "given[0].port must be a port from 1 to 65535"),
        (row(port=10**400), "given[0].port must be a port from 1 to 65535"),
        (row(host="example.org"), "given[0].host must be an IP address or null"),
        (row(host=1), "given[0].host must be an IP address or null"),
        (row(since="yesterday"), "given[0].since must be a time with its zone, such as 2026-01-31T12:00:00Z"),
        (row(since="2026-01-31T12:00:00"), "given[0].since must be a time with its zone"),
        (row(since="0001-01-01T00:00:00+23:00"), "given[0].since must be a time with its zone"),
        (row(since=None), "given[0].since must be a time with its zone"),
        (text(given=[ROW, ROW]), 'given[1] repeats socket "http" of project "a"'),
    ],
)
def test_damage_is_named(damaged: str, reason: str) -> None:
    with pytest.raises(DamagedError) as caught:
        loads(damaged, "/state/ports.json")
    assert f"cannot read /state/ports.json: {reason}" in str(caught.value)


def test_what_a_newer_projctl_wrote_is_no_damage() -> None:
    with pytest.raises(
        ProjctlError, match="version 2 is newer than this projctl knows, which is 1"
    ) as caught:
        loads(text(version=2))
    assert not isinstance(caught.value, DamagedError)


@settings(deadline=None)
@given(
    st.text() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_no_text_makes_it_crash(damaged: str) -> None:
    with pytest.raises(ProjctlError):
        loads(damaged)
    assert salvage(damaged) == Registry()


def test_cut_off_anywhere_it_is_damaged_and_whole_rows_are_salvaged() -> None:
    registry = Registry({("a", "http"): STAYS, ("b", "released"): STAYS}, {("c", "http"): STAYS})
    whole = dumps(registry)
    ends = [match.end() for match in re.finditer("}", whole)]
    for length in range(len(whole.rstrip())):
        with pytest.raises(DamagedError):
            loads(whole[:length])
        found = salvage(whole[:length])
        assert len(found.entries) + len(found.history) == sum(end <= length for end in ends)
        assert found.entries.items() <= registry.entries.items()
        assert found.history.items() <= registry.history.items()
    assert salvage(whole) == registry


@settings(deadline=None)
@given(entries, entries, st.data())
def test_one_damaged_byte_costs_one_row_at_the_most(
    given_now: dict[tuple[str, str], Entry], past: dict[tuple[str, str], Entry], data: st.DataObject
) -> None:
    whole = dumps(Registry(given_now, past))
    first = whole.index("[")
    place = data.draw(st.integers(first, len(whole) - 1))
    found = salvage(whole[:place] + "\0" + whole[place + 1 :])
    assert len(found.entries.keys() | found.history.keys()) >= len(given_now.keys() | past.keys()) - 1


def test_times_are_kept_in_utc() -> None:
    assert timestamp(datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-31T12:00:00Z"
    assert loads(row(since="2026-01-31T14:00:00+02:00")).entries["a", "http"].since == "2026-01-31T12:00:00Z"


def test_history_holds_the_newest_only() -> None:
    old = {
        (f"p{i}", "http"): Entry(1 + i, None, timestamp(NOW - timedelta(days=9999 - i))) for i in range(1500)
    }
    registry = Registry({("now", "http"): Entry(9, None, timestamp(NOW))}, old).record({}, NOW)
    assert len(registry.history) == HISTORY_SIZE
    assert ("now", "http") in registry.history
    assert ("p1499", "http") in registry.history
    assert ("p500", "http") not in registry.history


def test_a_port_that_stays_keeps_its_time() -> None:
    before = Registry().record({("a", "http"): (None, 80), ("b", "http"): (None, 81)}, NOW)
    after = before.record({("a", "http"): (None, 80), ("b", "http"): ("::1", 81)}, NOW + timedelta(days=1))
    assert after.entries["a", "http"].since == "2026-01-31T12:00:00Z"
    assert after.entries["b", "http"].since == "2026-02-01T12:00:00Z"
    assert after.history == {}


def test_a_project_can_be_forgotten_whole() -> None:
    registry = Registry({("a", "http"): STAYS, ("b", "http"): STAYS}, {("a", "admin"): STAYS})
    assert registry.without("a") == Registry({("b", "http"): STAYS})
