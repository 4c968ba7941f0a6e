"""What an agent leaves to its successor is read back whole, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import spoiling
from hypothesis import given
from hypothesis import strategies as st

from projctl_agent import tracks
from projctl_agent.idle import Observation, Track

if TYPE_CHECKING:
    from pathlib import Path

seconds = st.floats(0, 1e9)
perhaps = st.none() | seconds
counts = st.integers(0, 1 << 64)
observations = st.builds(
    Observation, seconds, counts, st.booleans(),
    st.none() | st.frozensets(st.integers(0, 1 << 64)), perhaps, perhaps, st.integers(0, 9), st.integers(0, 9), perhaps,
    st.booleans(), perhaps, packets=st.none() | counts, segments=counts, segments_before=counts,
)  # fmt: skip
any_track = st.builds(
    Track, seconds, seconds, st.sampled_from(["start", "bytes"]), observations, perhaps, seconds, perhaps
)
LOOK = Observation(2.0, 5, True, frozenset({7}), 0.5, 0.7, 0, 0, None)
KNOWN = {"a" * 32: Track(1.0, 2.0, "bytes", LOOK)}


@given(st.dictionaries(st.text("0123456789abcdef", min_size=1), any_track))
def test_read_back_as_written(known: dict[str, Track]) -> None:
    assert tracks.parse(tracks.dump(known)) == known


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "tracks.json"
    assert tracks.load(path) == {}
    tracks.save(path, KNOWN)
    assert tracks.load(path) == KNOWN
    assert [file.name for file in tmp_path.iterdir()] == ["tracks.json"]


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_damaged_text_is_refused_or_reads_as_tracks(place: int, character: str) -> None:
    text = tracks.dump(KNOWN)
    place %= len(text)
    try:
        found = tracks.parse(text[:place] + character + text[place + 1 :])
    except ValueError:
        return
    assert tracks.parse(tracks.dump(found)) == found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 1),
        (("tracks",), []),
        (("tracks", "x"), {}),
        (("tracks", "a" * 32, "last_use"), "now"),
        (("tracks", "a" * 32, "last_use"), float("nan")),
        (("tracks", "a" * 32, "last_use"), True),
        (("tracks", "a" * 32, "last_reason"), 1),
        (("tracks", "a" * 32, "previous"), None),
        (("tracks", "a" * 32, "previous", "counted"), 1),
        (("tracks", "a" * 32, "previous", "bytes_in"), -1),
        (("tracks", "a" * 32, "previous", "connections"), "7"),
        (("tracks", "a" * 32, "previous", "connections"), [0.5]),
        (("tracks", "a" * 32, "unknown"), 1),
    ],
)
def test_what_dump_did_not_write_is_refused(path: tuple[str, ...], value: object) -> None:
    spoiling.refuses(tracks.parse, tracks.dump(KNOWN), path, value)
