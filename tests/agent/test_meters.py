"""Figures that only grow: whatever the order and however often news of them come, the same totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import spoiling
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent.entry import Entry, Kind
from projctl_agent.lifecycle import Ledger
from projctl_agent.meters import kept
from projctl_agent.meters.fleet import FleetMeters
from projctl_agent.meters.meter import Meter

if TYPE_CHECKING:
    from pathlib import Path

    from projctl_agent.meters.project import Meters

BOOT, OTHER = "b" * 32, "c" * 32
UNIT = "projctl-web.service"


def entry(kind: Kind, run: int, at: float, boot: str = BOOT, **figures: float) -> Entry:
    micro = int(at * 1e6)
    realtime = micro + (2_000_000_000 if boot == OTHER else 1_000_000_000)
    return Entry(kind, UNIT, f"{run:032x}", boot, realtime, micro, "", figures)


def run(number: int, start: float, end: float, boot: str = BOOT, **figures: float) -> list[Entry]:
    """A run that is ready at once, stops idle, and whose figures are told last."""
    return [
        entry(Kind.STARTING, number, start, boot),
        entry(Kind.STARTED, number, start, boot),
        entry(Kind.IDLE_STOP, number, end - 0.5, boot),
        entry(Kind.STOPPING, number, end - 0.4, boot),
        entry(Kind.SUCCESS, number, end, boot),
        entry(Kind.ENDED, number, end + 0.1, boot, **figures),
    ]


STORY = [
    *run(1, 10, 20, cpu_seconds=1.5, memory_bytes=1000, memory_peak_bytes=3000),
    *run(2, 50, 70, cpu_seconds=2.5, memory_bytes=4000, memory_peak_bytes=5000),
    *run(3, 100, 101),
    *run(4, 5, 10, OTHER, cpu_seconds=0.25, memory_bytes=3000, memory_peak_bytes=3500),
    *run(5, 20, 30, OTHER, cpu_seconds=0.25, memory_bytes=3000, memory_peak_bytes=3400),
]


def fed(entries: list[Entry], file: Path | None = None) -> FleetMeters:
    meters, ledger = FleetMeters(file, pytest.fail), Ledger()
    for one in entries:
        meters.feed(one, ledger.feed([one]))
    meters.fed()
    return meters


def figures(meters: Meters) -> list[float]:
    every = (meters.cpu, meters.running, meters.asleep, meters.saved)
    return [meter.total for meter in every]


def test_a_story() -> None:
    web = fed(STORY).of("web")
    assert web.cpu.total == 4.5
    assert web.running.total == 10 + 20 + 1 + 5 + 10
    assert web.asleep.total == 30 + 30 + 10
    # After the first run 1000 bytes, after two of them (10 * 1000 + 20 * 4000) / 30, with the fourth one over 35 s.
    assert web.saved.total == pytest.approx(30 * 1000 + 30 * 3000 + 10 * (90_000 + 5 * 3000) / 35)
    assert (web.peak, web.peak_of) == (3400, f"{5:032x}")


@given(st.sets(st.integers(0, len(STORY))), st.data())
def test_any_split_and_any_looks_give_the_same(cuts: set[int], data: st.DataObject) -> None:
    """Kept, found again, fed again, and looked at in between with figures that a run had on its way."""
    meters, ledger, at = FleetMeters(None, pytest.fail), Ledger(), 0
    shown = [0.0] * 4
    for end in sorted(cuts | {len(STORY)}):
        for one in STORY[at:end]:
            meters.feed(one, ledger.feed([one]))
        at = end
        if totals := ledger.projects.get("web"):
            for invocation, going in totals.runs.items():
                share = data.draw(st.floats(0, 1))
                final = next(e for e in STORY if e.invocation == invocation and e.kind is Kind.ENDED)
                web = meters.of("web")
                web.cpu.observe(invocation, share * final.figures.get("cpu_seconds", 0.0))  # type: ignore[operator]
                assert going.ready or invocation not in web.running.seen
        now = figures(meters.of("web"))
        assert all(before <= after for before, after in zip(shown, now, strict=True))
        shown = now
        again, _ = kept.parse(kept.dump(meters.all(), 0))
        assert again == dict(meters.all())
    assert figures(meters.of("web")) == pytest.approx(figures(fed(STORY).of("web")))


def test_what_was_fed_before_a_crash_is_not_counted_again(tmp_path: Path) -> None:
    file = tmp_path / "meters.json"
    first = fed(STORY, file)
    first.save()
    expected = figures(first.of("web"))
    second = fed(STORY, file)
    assert figures(second.of("web")) == expected
    second.again()
    ledger = Ledger()
    more = run(6, 50, 60, OTHER, cpu_seconds=1.0)
    for one in [*STORY, *more]:
        second.feed(one, ledger.feed([one]))
    assert second.of("web").cpu.total == expected[0] + 1.0
    assert second.of("web").asleep.total == expected[2] + 20


def test_a_sleep_is_seen_while_it_lasts_and_over_a_reboot() -> None:
    web = fed(STORY).of("web")
    before = web.asleep.total
    web.rests(OTHER, 32_000_000)
    assert web.asleep.total == before  # its figures may still come
    web.rests(OTHER, 130_000_000)
    assert web.asleep.total == before + 100
    web.rests("d" * 32, 4_000_000)
    web.rests("d" * 32, 14_000_000)
    assert web.asleep.total == before + 110


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1e9))))
def test_a_meter_never_falls(seen: list[tuple[int, float]]) -> None:
    meter, before = Meter(), 0.0
    for number, figure in seen:
        meter.observe(str(number), figure)
        meter.read("boot", figure)
        assert meter.total >= before
        before = meter.total
    assert len(meter.seen) <= 5


def test_a_counter_that_began_anew() -> None:
    meter = Meter()
    for count in (100, 150, 20, 50):
        meter.read(BOOT, count)
    assert meter.total == 200
    meter.read(OTHER, 70)
    assert meter.total == 270


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 0),
        (("until",), -1),
        (("projects",), []),
        (("projects", "a b"), {}),
        (("projects", "web", "cpu"), [-1, {}]),
        (("projects", "web", "cpu"), ["1", {}]),
        (("projects", "web", "cpu"), [1, {"a": float("inf")}]),
        (("projects", "web", "unknown"), [1, {}]),
        (("projects", "web", "sleep"), ["a"]),
        (("projects", "web", "peak"), None),
    ],
)
def test_what_dump_did_not_write_is_refused(path: tuple[str, ...], value: object) -> None:
    spoiling.refuses(kept.parse, kept.dump(fed(STORY).all(), 5), path, value)
