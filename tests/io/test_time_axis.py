"""Times of frames: each its own, with begin and end of the exposure; clocks that were set back."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.helpers.camserver import camserver_bytes
from xinsitu import open_measurement
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
