"""Times of frames: each its own, with begin and end of the exposure; clocks that were set back."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import xarray as xr

from tests.helpers.camserver import camserver_bytes, ramp
from xinsitu import XinsituWarning, open_measurement
from xinsitu.errors import TimeError
from xinsitu.io.periods import behind_rhythm
from xinsitu.io.survey import survey
from xinsitu.io.times import TimeAxis, _set_back, spread
from xinsitu.schema import FrameStatus


def folder(path, seconds, exposure=0.2):
    path.mkdir()
    for number, second in enumerate(seconds):
        stamp = f"2014:05:28 17:{10 + second // 60:02d}:{second % 60:02d}"
        frame = camserver_bytes(np.full((5, 6), number, "int32"), stamp, exposure=exposure)
        (path / f"m_{number:05d}.tif").write_bytes(frame)
    return path


def test_stamps_that_repeat_are_spread_within_their_second(tmp_path):
    data = open_measurement(folder(tmp_path / "m", [0, 1, 1, 1, 1, 2, 2, 2, 5]), tz="UTC")
    since = (data.time.values - data.time.values[0]) / np.timedelta64(1, "s")
    np.testing.assert_allclose(since, [0, 1, 1.25, 1.5, 1.75, 2, 7 / 3, 8 / 3, 5], atol=2e-6)
    assert data.stamp.values[1] == data.stamp.values[4] == "2014:05:28 17:10:01"
    assert "spread within 1 s" in data.attrs["time_source"]
    assert len(np.unique(data.time)) == 9


def test_stamps_that_do_not_repeat_are_left_alone(tmp_path):
    data = open_measurement(folder(tmp_path / "m", [0, 1, 3]), tz="UTC")
    assert ((data.time.values - data.time.values[0]) / np.timedelta64(1, "s")).tolist() == [0, 1, 3]
    assert "spread" not in data.attrs["time_source"]


@pytest.mark.parametrize("marks", ["start", "end"])
def test_bounds_hold_the_exposure(tmp_path, marks):
    data = open_measurement(folder(tmp_path / "m", [0, 1, 3], exposure=0.4), tz="UTC", stamp_marks=marks)
    begin, end = data.time_bounds.values.T
    assert data.time_bounds.dims == ("time", "bound")
    assert ((end - begin) == np.timedelta64(400, "ms")).all()
    np.testing.assert_array_equal(begin if marks == "start" else end, data.time.values)
    data.drop_vars(["image", "stamp"]).to_netcdf(tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as again:
        np.testing.assert_array_equal(again.time_bounds, data.time_bounds)


def test_a_clock_that_was_set_back_puts_all_that_follows_in_doubt(tmp_path):
    seconds = [10, 11, 12, 13, 14, 15, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    data = open_measurement(folder(tmp_path / "m", seconds), tz="UTC", order_error="ignore")
    assert (data.frame_status[6:] != FrameStatus.OK).all()
    assert (data.frame_status[:6] == FrameStatus.DOUBTFUL_TIME).all()
    assert len(np.unique(data.time)) == len(seconds)


def test_frames_of_an_older_series_leave_the_others_alone(tmp_path):
    data = open_measurement(folder(tmp_path / "m", [30, 31, 2, 3, 34, 35, 36]), tz="UTC", order_error="ignore")
    assert np.flatnonzero(data.frame_status != FrameStatus.OK).tolist() == [2, 3]


def rhythm(seconds, resolution=1.0, number=None):
    micro = (np.floor(np.asarray(seconds) / resolution) * resolution * 1e6).astype("int64")
    number = np.arange(len(micro)) if number is None else number
    found = behind_rhythm(micro, number, np.zeros(len(micro), bool), resolution=resolution * 1e6)
    return [first for first, _ in found]


@pytest.mark.parametrize(
    ("period", "back", "resolution"), [(10, 3, 1), (4.3, 3.7, 1), (1, 0.15, 1e-3), (0.92, 0.8, 1e-6)]
)
def test_a_clock_that_was_set_back_by_less_than_a_frame_is_told_by_the_rhythm(period, back, resolution):
    seconds = period * np.arange(60) + 0.4
    assert rhythm(seconds, resolution) == []
    assert rhythm(seconds - back * (np.arange(60) > 40), resolution) == [41]


def test_jitter_pauses_lost_frames_and_other_rhythms_are_no_clock_that_was_set_back():
    rng, number = np.random.default_rng(3), np.arange(300)
    for period, resolution in ((0.92, 1.0), (2.67, 1.0), (10.0, 1.0), (1.0, 1e-6)):
        even = period * number
        late = np.maximum.accumulate(even + (rng.random(300) < 0.1) * rng.exponential(5 * period, 300))
        faster = np.cumsum(np.where(number < 150, period, 0.4 * period))
        paused = even + 30 * period * np.cumsum(rng.random(300) < 0.05)
        kept = rng.random(300) > 0.2
        drifting = np.cumsum(period * (1 + 0.5 * np.sin(number / 40)))
        uneven = np.cumsum(period * (1 + 0.3 * rng.exponential(size=300)))
        scattered = even + 0.1 * period * rng.normal(size=300)
        for seconds in (even, late, faster, paused, drifting, uneven, scattered, even + 4 * period * (number // 4)):
            assert rhythm(seconds + 0.3, resolution) == []
        assert rhythm(even[kept], resolution, number[kept]) == []


def test_frames_behind_a_small_set_back_are_flagged_and_said(tmp_path):
    seconds = [10 * number - 6 * (number > 7) for number in range(16)]
    with pytest.warns(UserWarning, match=r"m_00008.tif is stamped some 6 s too early for the rhythm"):
        data = open_measurement(folder(tmp_path / "m", seconds), tz="UTC")
    assert np.flatnonzero(data.frame_status == FrameStatus.DOUBTFUL_TIME).tolist() == list(range(8, 16))
    told = str(survey(tmp_path / "m", tz="UTC"))
    assert "8 frames are in doubt, as the clock was set back, m_00008.tif first" in told


@pytest.mark.parametrize("stamped", [(0, 1, 2, 3, 4, 5), (0, 1, 4, 5), (2,), ()])
def test_info_tells_the_times_that_opening_gives(tmp_path, stamped):
    """Of frames without a stamp, too: from their neighbours, from the period of the header, or as numbers."""
    for number in range(6):
        stamp = f"2014:05:28 17:10:{2 * number:02d}" if number in stamped else ""
        frame = camserver_bytes(np.full((5, 6), number, "int32"), stamp, period=2.0)
        (tmp_path / f"m_{number:05d}.tif").write_bytes(frame)
    (told,) = survey(tmp_path, tz="Asia/Tokyo").series
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XinsituWarning)
        opened = open_measurement(tmp_path, tz="Asia/Tokyo")
    np.testing.assert_array_equal(told.axis.microseconds, opened.time.values.astype("datetime64[us]").astype("int64"))
    assert ("only frame numbers" in str(told.lines())) == (opened.attrs["time_source"] == "frame")


def axis_of(microseconds, resolution=1.0):
    nothing = np.zeros(len(microseconds), bool)
    return TimeAxis(np.array(microseconds, "int64"), nothing, nothing, "stamp", resolution)


def test_more_frames_than_microseconds_still_have_times_of_their_own():
    """From the first two on; each is at least a microsecond behind the one before."""
    for times in ([7, 7], [7, 7, 7, 7], [3, 7, 7, 7, 8, 20]):
        found = spread(axis_of(times, 1e-6)).microseconds
        assert (np.diff(found) >= 1).all()
        assert found[0] == times[0]
    assert spread(axis_of([7, 7, 7, 7], 1e-6)).microseconds.tolist() == [7, 8, 9, 10]
    assert spread(axis_of([3, 7, 7, 7, 8, 20], 1e-6)).microseconds.tolist() == [3, 7, 8, 9, 10, 20]
    assert not spread(axis_of([3, 7, 20])).spread


@pytest.mark.parametrize(
    ("stamps", "doubt"),
    [
        ([0, 10, 20, 5, 14, 20, 30], [False, True, True, False, False, True, True]),  # 6 s ahead, after 15 s back
        ([0, 10, 20, 5, 12, 20, 30], None),  # 8 s: a jump, which leaves an older series
        ([0, 10, 20, 5, 14], None),  # and nobody knows how it goes on
        ([0, 5, 20, 5, 14, 20], [False, False, True, False, False, True]),  # the frame of the same second is in none
    ],
)
def test_a_clock_that_was_set_back_catches_up_and_an_older_series_is_left(stamps, doubt):
    """By less than half of what it was set back, from one frame to the next."""
    utc = np.array(stamps, "int64") * 1_000_000
    found = _set_back(utc, utc < np.maximum.accumulate(utc))
    assert (None if found is None else found.tolist()) == doubt


@pytest.mark.parametrize(("days", "doubtful"), [(0.5, False), (1.5, True), (5, True)])
def test_a_stamp_is_in_the_future_a_day_from_now(tmp_path, days, doubtful):
    """By the clock of this machine, which may be of another zone."""
    stamp = (datetime.now(UTC) + timedelta(days=days)).strftime("%Y:%m:%d %H:%M:%S")
    (tmp_path / "a_0.tif").write_bytes(camserver_bytes(ramp(0), stamp))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = open_measurement(tmp_path, tz="UTC")
    assert any("in the future" in str(one.message) for one in said) is doubtful
    assert bool(data.frame_status[0] == FrameStatus.DOUBTFUL_TIME) is doubtful


@pytest.mark.parametrize("last", [9_000_000_000.0, -9_000_000_000.0, np.nan, np.inf])
def test_times_that_are_given_lie_before_the_end_of_time(tmp_path, last):
    folder(tmp_path / "m", [0, 1])
    with pytest.raises(TimeError, match=r"the time given for m_00001\.tif is no time of the years 1678 to 2261"):
        open_measurement(tmp_path / "m", time=np.array([0.0, last]))
    if np.isfinite(last):
        assert open_measurement(tmp_path / "m", time=np.sort([0.0, last * (1 - 1e-9)])).sizes["time"] == 2
