"""Events: placed on a sample, kept by it, used to select and to set t = 0; and read from a growth log."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from xinsitu.errors import DocumentError, StitchError
from xinsitu.io.growth_log import read_events_log
from xinsitu.physics.samples.events import between, elapsed, events_of, moment_of, with_events
from xinsitu.physics.samples.joining import stitch
from xinsitu.values import Event

from .test_joining import SECOND, START, series


@pytest.fixture
def sample():
    return stitch([series("time1", range(5)), series("time2", range(10, 15))])


GROWTH = Event("growth", {"measurement": "time1", "frame": 3}, {"measurement": "time2", "seconds": 1.5})
DUMP = Event("dump", "2014-05-28T17:00:12")  # local time of the sample


def test_events_are_placed_in_utc_and_kept(sample, tmp_path):
    held = with_events(sample, [GROWTH, DUMP])
    growth, dump = events_of(held)
    assert (growth.start, growth.stop) == (START + 3 * SECOND, START + np.timedelta64(11_500, "ms"))
    assert dump.start == START + 12 * SECOND
    xi.write_results(held, tmp_path / "s.nc")
    assert events_of(xi.read_results(tmp_path / "s.nc")) == (growth, dump)
    assert "events" not in sample.attrs
    moved = with_events(held, [Event("dump", START)])
    assert [event.name for event in events_of(moved)] == ["growth", "dump"]
    assert events_of(moved)[1].start == START


def test_events_survive_stitching():
    one = with_events(series("time1"), [Event("a", START)])
    two = with_events(series("time2", (10, 11)), [Event("b", START)])
    assert {event.name for event in events_of(stitch([one, two]))} == {"a", "b"}


def test_between(sample):
    held = with_events(sample, [GROWTH, DUMP])
    assert between(held, "growth").time.values.tolist() == held.time.values[3:7].tolist()
    assert between(held, "growth", "dump").sizes["time"] == 5
    assert between(held, "dump", START + 13 * SECOND).frame.values.tolist() == [2, 3]
    assert between(held, {"measurement": "time1", "frame": 1}, {"measurement": "time1", "frame": 2}).sizes["time"] == 2
    assert between(sample, GROWTH).sizes["time"] == 4
    assert between(sample, "growth", events=[GROWTH]).sizes["time"] == 4
    with pytest.raises(StitchError, match="'dump' is a moment, not an interval"):
        between(held, "dump")
    with pytest.raises(StitchError, match="exchange them"):
        between(held, "dump", "growth")
    with pytest.raises(StitchError, match="no event 'anneal'; there are growth, dump"):
        between(held, "anneal", "dump")
    with pytest.raises(StitchError, match=r"stops at .* before it starts"):
        with_events(sample, [Event("x", START + SECOND, START)])


def test_elapsed_counts_from_any_event(sample):
    held = with_events(sample, [GROWTH])
    assert elapsed(held).values[[0, -1]].tolist() == [0.0, 14.0]
    assert elapsed(held, "growth").values[[0, 3]].tolist() == [-3.0, 0.0]
    assert elapsed(held, "2014-05-28T17:00:12").values[-1] == 2.0
    assert moment_of(held, GROWTH) == START + 3 * SECOND


LOG = """#F mbe0884
#E 1401264000
#D Wed May 28 17:00:00 2014
#C Shutter(s) opened or closed: 0 0 0 0 1
#D 2014/05/28 17:01:59
#C Shutter(s) opened or closed: 0 1 0 0 1
#P Kcells 840.0 575.7
#D 2014/05/28 17:03:00
#C Shutter(s) opened or closed: 0 0 0 0 1
#C Wed May 28 17:05:00 2014.  Shutter(s) opened or closed: 0 1 0 1 1
#D 2014/05/28 17:06:00
#C Shutter(s) opened or closed: 0 1 0 0 1
#D 2014/05/28 17:10:00
"""


def test_shutters_of_a_growth_log(tmp_path):
    path = tmp_path / "mbe0884.log"
    path.write_text(LOG)
    events = read_events_log(path)
    utc = {event.name: (str(event.start)[11:19], str(event.stop)[11:19]) for event in events}
    assert utc == {  # arsenic never moves; the last interval lasts until the end of the log
        "In shutter open": ("08:01:59", "08:03:00"),
        "In shutter open 2": ("08:05:00", "08:10:00"),
        "Sb shutter open": ("08:05:00", "08:06:00"),
    }
    assert [str(event.start) for event in events] == sorted(str(event.start) for event in events)
    assert str(read_events_log(path, tz="UTC")[0].start)[11:19] == "17:01:59"
    named = read_events_log(path, shutters=("a", "b", "c", "d", "e"))
    assert {event.name for event in named} == {"b shutter open", "b shutter open 2", "d shutter open"}
    xi.write_events(events, tmp_path / "events.json")
    assert xi.read_events(tmp_path / "events.json") == events


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#D 2014/05/28 17:00:00\n", "there is no line '#C Shutter"),
        ("#C Shutter(s) opened or closed: 0 1\n", "line 1 has no time"),
        ("#D 2014/05/28 17:00:00\n#C Shutter(s) opened or closed: 0 ajar\n", "line 2 says 'ajar'"),
        (
            "#D 2014/05/28 17:00:00\n#C Shutter(s) opened or closed: 0 1\n#C Shutter(s) opened or closed: 0\n",
            "line 3 has 1 shutter, others have 2",
        ),
    ],
)
def test_logs_that_cannot_be_read(tmp_path, text, told):
    path = tmp_path / "x.log"
    path.write_text(text)
    with pytest.raises(DocumentError, match=told) as fault:
        read_events_log(path)
    assert str(path) in str(fault.value)


def test_a_log_that_is_not_there(tmp_path):
    with pytest.raises(DocumentError, match="cannot be read"):
        read_events_log(tmp_path / "none.log")
