"""Frames as people name them in one word: KEYs, positions, ranges."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xinsitu import AttenuationChange, Event, Key
from xinsitu.errors import DocumentError
from xinsitu.values import FrameRange, frame_ranges


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("time2:71", Key("time2", frame=71)),
        ("0799_time-2:3:71", Key("0799_time-2", 3, 71)),
        ("time2:12.5s", Key("time2", seconds=12.5)),
        ("time2:12 s", Key("time2", seconds=12.0)),
        ("1080", Key(position=1080)),
        ("0", Key(position=0)),
        ("20140528", Key(local="20140528")),
        ("2014-05-28T17:01:59", Key(local="2014-05-28T17:01:59")),
        ("2014-05-28T17:01:59+09:00", Key(time=np.datetime64("2014-05-28T08:01:59", "ns"))),
    ],
)
def test_a_text_is_a_key(text: str, key: Key) -> None:
    assert Key.from_dict(f" {text} ") == key
    if key.local is None:
        assert Key.from_dict(json.loads(json.dumps(Key.from_dict(text).to_dict()))) == key


@pytest.mark.parametrize("text", ["time2", "time2:", ":71", "time2:-1", "time2:7.5", "time2:1:2:3", "", "-5", "12:"])
def test_a_text_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match=r"is not an ISO 8601 time .* nor a frame such as time3:185"):
        Key.from_dict(text)


@pytest.mark.parametrize(
    "document",
    [
        {"position": -1},
        {"position": 1.5},
        {"position": True},
        {"position": 10**20},
        {"position": 4, "frame": 4},
        {"position": 4, "seconds": 1.0},
        {"position": 4, "measurement": "time2"},
        {"position": 4, "time": "2014-05-28T17:01:59"},
    ],
)
def test_a_position_stands_alone(document: dict[str, object]) -> None:
    with pytest.raises(DocumentError, match="position"):
        Key.from_dict(document)


def test_positions_stand_wherever_a_key_does() -> None:
    change = AttenuationChange.from_dict({"before": {"position": 71}, "after": {"position": 73}})
    assert (change.before, change.after) == (Key(position=71), Key(position=73))
    assert AttenuationChange.from_dict(change.to_dict()) == change
    assert Event.from_dict({"name": "open", "position": 5}) == Event("open", Key(position=5))
    dated = {"position": 71, "utc": "2014-05-28T08:01:59Z"}
    both = AttenuationChange.from_dict({"before": dated, "after": "2014-05-28T08:02:59Z"})
    assert both.before_key == Key(position=71, time=np.datetime64("2014-05-28T08:01:59", "ns"))
    assert both.to_dict()["before"] == dated


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("time2:80-85", Key("time2", frame=80), Key("time2", frame=85)),
        ("time2:1:80 - 85", Key("time2", 1, 80), Key("time2", 1, 85)),
        ("1080-1085", Key(position=1080), Key(position=1085)),
        ("run-7:80", Key("run-7", frame=80), None),
        ("run-7:80-81", Key("run-7", frame=80), Key("run-7", frame=81)),
        ("time1:5..time2:3", Key("time1", frame=5), Key("time2", frame=3)),
        ("time1:5..2014-05-28T17:01:59", Key("time1", frame=5), Key(local="2014-05-28T17:01:59")),
    ],
)
def test_ranges(text: str, start: Key, stop: Key | None) -> None:
    assert FrameRange.from_dict(text) == FrameRange(start, stop)
    assert FrameRange.from_dict(FrameRange(start, stop).to_dict()) == FrameRange(start, stop)


@pytest.mark.parametrize("document", ["5..", "..5", "a-b", {"start": "5", "end": "6"}, {"stop": "5"}, 7, None])
def test_what_is_no_range_is_refused(document: object) -> None:
    with pytest.raises(DocumentError):
        frame_ranges([document])


def test_lists_hold_texts_and_keys() -> None:
    found = frame_ranges(["time2:71, 80-85", {"measurement": "time3", "frame": 4}, {"start": "1", "stop": "3"}])
    assert [one.stop is None for one in found] == [True, False, True, False]
    assert frame_ranges("") == frame_ranges([]) == ()
