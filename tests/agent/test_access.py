"""Access logs: what a line tells, what lines add up to, what is kept of them."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
import spoiling
from hypothesis import example, given, settings
from hypothesis import strategies as st

from projctl_agent.access import kept, lines, logs
from projctl_agent.access.lines import Request
from projctl_agent.access.patience import Patience
from projctl_agent.access.tally import FIRSTS, Log, Moment, Tally
from projctl_agent.journal import system_scope
from projctl_agent.settings import interpret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ = lines.reader(lines.JSON, nullcontext())
START = Moment("a" * 32, "b" * 32, 1_000_000)


def at(seconds: float, invocation: str = "a" * 32) -> Moment:
    return Moment(invocation, "b" * 32, 1_000_000 + int(seconds * 1e6))


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ({"status": 200, "duration": 0.5}, Request("200", 0.5)),
        ({"status_code": "404", "request_time": "0.25"}, Request("404", 0.25)),
        ({"statusCode": 503, "duration_ms": 20}, Request("503", 0.02)),
        ({"res": {"statusCode": 200}, "responseTime": 3}, Request("200", 0.003)),
        ({"response": {"status_code": 299}}, Request("2xx", None)),
        ({"status": 499, "duration": -1}, Request("499", None)),
        ({"status": 200, "duration": 1e9}, Request("200", None)),
        ({"status": 200, "duration": True}, Request("200", None)),
        ({"status": 200, "duration": 10**400}, Request("200", None)),
        ({"status": 200, "duration": "nan"}, Request("200", None)),
        ({"status": True}, None),
        ({"status": 99}, None),
        ({"status": 600}, None),
        ({"status": "\uff12\uff10\uff10"}, None),
        ({"status": [200]}, None),
        ({"level": "info"}, None),
        ([200], None),
    ],
)
def test_json_lines(line: object, request_: Request | None) -> None:
    assert READ(json.dumps(line)) == request_


@settings(deadline=None)
@given(
    st.text() | st.recursive(st.text() | st.none() | st.floats() | st.integers(), st.lists).map(json.dumps)
)
@example("[" * 5000)
@example('{"a":' * 5000)
@example('{"status":' + "1" * 5000 + "}")
def test_any_line_is_read(line: str) -> None:
    for pattern in (lines.JSON, r"^(?P<status>\S*) (?P<seconds>\S*)", r"(?P<status>.)?(?P<milliseconds>.)?"):
        found = lines.reader(pattern, nullcontext())(line)
        assert found is None or len(found.code) == 3


@pytest.mark.parametrize("pattern", ["(", "(?P<seconds>1)", "a{99999999999999}", "(?P<status>(?P<status>))"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="must "):
        lines.reader(pattern, nullcontext())


def test_a_match_without_end_is_ended() -> None:
    read = lines.reader("(a+)+(?P<status>X)", Patience(0.05))
    with pytest.raises(TimeoutError):
        read("a" * 60)
    assert read("aX") is None
    time.sleep(0.06)  # nothing rings afterwards


def test_the_first_request_of_a_run_is_timed_once() -> None:
    tally = Tally()
    tally.count(Request("200", None), at(0))
    tally.begin(START)
    tally.count(Request("200", 0.1), at(1, invocation="c" * 32))
    for seconds in (0.3, 0.4):
        tally.count(Request("404", 0.1), at(seconds))
    assert tally.firsts.counts == [0, 0, 0, 0, 1] + [0] * 7
    assert tally.codes == {"200": 2, "404": 2}
    assert sum(tally.durations.counts) == 3
    tally.begin(START)
    tally.count(Request("200", None), at(FIRSTS[-1] + 1))
    assert sum(tally.firsts.counts) == 1


def log() -> Log:
    found = Log("projctl-web@1.service", "json", "s=1")
    found.tally.begin(START)
    found.tally.count(Request("200", 0.1), at(0.2))
    found.tally.begin(START)
    return found


RECORDS = [
    *((run, None, 0.0) for run in "ab"),
    *((run, Request(code, 0.1), at) for run in "bab" for code, at in (("200", 0.3), ("5xx", 2.0))),
    ("c", None, 5.0),
    ("c", Request("404", None), 5.02),
]


@given(st.sets(st.integers(0, len(RECORDS))))
def test_any_split_gives_the_same(cuts: set[int]) -> None:
    def told(found: Log, records: list[tuple[str, Request | None, float]]) -> Log:
        for run, request_, seconds in records:
            if request_:
                found.tally.count(request_, at(seconds, run * 32))
            else:
                found.tally.begin(at(seconds, run * 32))
        return found

    cut, place = Log("projctl-web.service", "json"), 0
    for end in sorted(cuts | {len(RECORDS)}):
        cut = kept.parse(kept.dump({"web": told(cut, RECORDS[place:end])}))["web"]
        place = end
    assert cut == told(Log("projctl-web.service", "json"), RECORDS)
    assert sum(cut.tally.firsts.counts) == 2


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    kept.save(tmp_path / "access.json", {"web@1": log()})
    assert kept.load(tmp_path / "access.json") == {"web@1": log()}
    assert kept.load(tmp_path / "none") == {}
    (tmp_path / "access.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="utf-8"):
        kept.load(tmp_path / "access.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 0),
        (("logs",), []),
        (("logs", "web@1"), {}),
        (("logs", "web@1", "unit"), "dbus.service"),
        (("logs", "web@1", "cursor"), None),
        (("logs", "web@1", "tally", "codes"), {"200": -1}),
        (("logs", "web@1", "tally", "firsts", "counts"), [1]),
        (("logs", "web@1", "tally", "durations", "bounds"), [1]),
        (("logs", "web@1", "tally", "durations", "sum"), "1"),
        (("logs", "web@1", "tally", "start"), ["a"]),
    ],
)
def test_what_dump_did_not_write_is_refused(path: tuple[str, ...], value: object) -> None:
    spoiling.refuses(kept.parse, kept.dump({"web@1": log()}), path, value)


class _Endless:
    """A journal in which one unit's lines never end and take a millisecond each; of all others there is one line."""

    def __init__(self, scope: object) -> None:
        self.cursor = str

    def read(self, unit: str, cursor: str) -> Iterator[str]:
        while unit == "projctl-loud.service":
            time.sleep(0.001)
            yield "x"
        yield '{"status": 200}'

    def moment(self) -> None: ...

    def close(self) -> None: ...


def test_one_who_writes_without_end_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "Pass", _Endless)
    found = logs.AccessLogs(system_scope(), None, print)
    sections = {name: {"AccessLog": "json"} for name in ("loud", "quiet")}
    wanted = [interpret(f"projctl-{name}.service", section) for name, section in sections.items()]
    found.seen(one for one in wanted if one)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def act() -> None:
        counting = asyncio.ensure_future(count())
        assert not await found.read(0.2)
        counting.cancel()
        await found.read(0.1)

    asyncio.run(act())
    assert turns > 4
    assert found.logs()["quiet"].tally.codes == {"200": 1}


def test_one_that_is_removed_meanwhile_ends_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "Pass", _Endless)
    found = logs.AccessLogs(system_scope(), None, print)
    wanted = interpret("projctl-loud.service", {"AccessLog": "json"})
    found.seen([wanted] if wanted else [])

    async def act() -> None:
        reading = asyncio.ensure_future(found.read(0.2))
        await asyncio.sleep(0.05)
        found.forget(["loud"])
        assert not await reading
        assert await found.read(0.1)

    asyncio.run(act())
