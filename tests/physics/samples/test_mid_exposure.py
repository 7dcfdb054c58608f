"""The middle of exposures: from frames through series and samples to elapsed times, events and logs."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import camserver_bytes
from xinsitu.schema import mid_exposure
from xinsitu.values import Event

EXPOSURE = 0.9
MIDNIGHT = np.datetime64("2014-05-28T00:00:00", "ns")
ROIS = [xi.Roi("s", y=(1, 5), x=(1, 6))]


def seconds(value):
    return np.timedelta64(round(value * 1e6), "us")


def folder(path, ends, exposure=EXPOSURE):
    """Frames whose exposures end at these seconds of the day; the clock shows whole ones."""
    path.mkdir(parents=True)
    for number, end in enumerate(ends):
        whole = int(end)
        stamp = f"2014:05:28 {whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        frame = camserver_bytes(np.full((7, 8), 5 + number, "int32"), stamp, exposure=exposure)
        (path / f"m_{number:05d}.tif").write_bytes(frame)
    return path


def ends(number=12, first=36_000.37):
    return first + 1.07 * np.arange(number)


@pytest.fixture
def scan(tmp_path):
    return xi.open_measurement(folder(tmp_path / "time1", ends()), tz="UTC", logs=None)


@pytest.mark.thorough
def test_bounds_ride_along_into_series_samples_and_files(scan, tmp_path):
    series = xi.measure(scan, ROIS).compute()
    np.testing.assert_array_equal(series.time_bounds, scan.time_bounds)
    assert series.time_bounds.dims == ("time", "bound")
    assert "time_bounds" in series.coords
    later = xi.open_measurement(folder(tmp_path / "time2", ends(5, 36_100.2)), tz="UTC", logs=None)
    sample = xi.stitch([series, xi.measure(later, ROIS).compute()])
    np.testing.assert_array_equal(sample.time_bounds[12:], later.time_bounds)
    again = xi.read_results(xi.write_results(sample, tmp_path / "s.nc"))
    np.testing.assert_array_equal(again.time_bounds, sample.time_bounds)
    np.testing.assert_array_equal(mid_exposure(again), mid_exposure(sample))
    assert len(again.insitu.to_dataframe("wide")) == 17


def test_a_sum_of_frames_has_the_bounds_of_all(scan):
    summed = xi.rebin(scan, time=4)
    np.testing.assert_array_equal(summed.time_bounds[:, 0], scan.time_bounds[::4, 0])
    np.testing.assert_array_equal(summed.time_bounds[:, 1], scan.time_bounds[3::4, 1])
    series = xi.measure(summed, ROIS).compute()
    np.testing.assert_array_equal(mid_exposure(series), mid_exposure(summed))


def test_the_middle_is_early_by_less_than_a_second_and_never_late(scan):
    truth = MIDNIGHT + np.array([seconds(end - EXPOSURE / 2) for end in ends()])
    early = (truth - mid_exposure(scan)) / np.timedelta64(1, "s")
    assert (early >= 0).all()
    assert (early < 1).all()


def test_elapsed_times_go_from_a_moment_to_the_middle(scan):
    series = xi.measure(scan, ROIS).compute()
    opened = MIDNIGHT + seconds(36_003.2)
    middle = (series.time.values - opened) / np.timedelta64(1, "s") - EXPOSURE / 2
    np.testing.assert_allclose(xi.elapsed(series, opened), middle, atol=1e-6)
    assert float(xi.elapsed(series)[0]) == 0
    assert float(xi.elapsed(series, {"frame": 4})[4]) == 0  # a frame is as far from itself as it should be
    np.testing.assert_allclose(xi.elapsed(series), series.insitu.to_dataframe("wide")["elapsed"], atol=1e-6)


def test_exposures_that_change_move_elapsed_times(tmp_path):
    short = xi.open_measurement(folder(tmp_path / "time1", ends(4), 0.2), tz="UTC", logs=None)
    long = xi.open_measurement(folder(tmp_path / "time2", ends(4, 36_010.0)), tz="UTC", logs=None)
    sample = xi.stitch([xi.measure(part, ROIS).compute() for part in (short, long)])
    stamps = (sample.time.values - sample.time.values[0]) / np.timedelta64(1, "s")
    np.testing.assert_allclose(xi.elapsed(sample), stamps - np.where(np.arange(8) < 4, 0, 0.35), atol=1e-6)


def test_events_that_name_frames_select_these_frames(scan):
    series = xi.with_events(xi.measure(scan, ROIS).compute(), [Event("growth", {"frame": 3}, {"frame": 7})])
    assert xi.between(series, "growth").frame.values.tolist() == [3, 4, 5, 6, 7]
    assert float(xi.elapsed(series, "growth")[3]) == 0
    assert xi.between(series, {"frame": 2}, {"frame": 5}).frame.values.tolist() == [2, 3, 4, 5]


def test_nothing_shifts_where_bounds_are_not_known(tmp_path, scan):
    series = xi.measure(scan, ROIS).compute()
    bare = series.drop_vars("time_bounds")
    np.testing.assert_array_equal(mid_exposure(bare), bare.time)
    moment = bare.time.values[2]
    np.testing.assert_array_equal(xi.elapsed(bare, moment), (bare.time.values - moment) / np.timedelta64(1, "s"))
    numbered = xi.open_measurement(tmp_path / "time1", time="frame", logs=None)
    assert "time_bounds" not in numbered.coords
    other = bare.assign_coords(time=bare.time + np.timedelta64(60, "s"), measurement="time2")
    sample = xi.stitch([series, other])
    assert np.isnat(sample.time_bounds[12:]).all()
    np.testing.assert_array_equal(mid_exposure(sample)[12:], other.time)
    np.testing.assert_array_equal(mid_exposure(sample)[:12], mid_exposure(series))


def test_bounds_in_any_order_of_dims():
    time = MIDNIGHT + np.array([seconds(1), seconds(2)])
    bounds = xr.Variable(("bound", "time"), np.stack([time - seconds(0.5), time + seconds(0.1)]))
    data = xr.Dataset(coords={"time": time, "time_bounds": bounds})
    np.testing.assert_array_equal(mid_exposure(data), time - seconds(0.2))


def test_logs_are_joined_to_the_middle_of_long_exposures(tmp_path):
    """Exposures of 8 s, points of a log every 2 s: that of the middle, not of the end."""
    path = folder(tmp_path / "time1", 36_020.0 + 10 * np.arange(5), exposure=8.0)
    points = np.arange(36_000, 36_080, 2)
    lines = ["time,temperature", *(f"2014-05-28T{p // 3600:02d}:{p // 60 % 60:02d}:{p % 60:02d}Z,{p}" for p in points)]
    log = tmp_path / "furnace.csv"
    log.write_text("\n".join(lines) + "\n")
    joined = xi.open_measurement(path, tz="UTC", logs=log)
    np.testing.assert_array_equal(joined.temperature, 36_016.0 + 10 * np.arange(5))
    assert "by time" in joined.attrs["log_join"]
