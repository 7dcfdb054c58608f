"""Frames summed to fewer ones: counts stay counts, and what is known of frames goes along."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.schema import Quality


def scan(number: int = 21) -> xr.Dataset:
    counts = np.random.default_rng(3).poisson(40, (number, 12, 15)).astype("int32")
    counts[4, 2, 3], counts[8, 5, 5] = -1, 500
    time = np.datetime64("2015-02-03", "ns") + np.arange(number) * np.timedelta64(2, "s")
    bounds = np.stack([time, time + np.timedelta64(1800, "ms")], axis=1)
    coords = {
        "time": time,
        "y": np.arange(12),
        "x": np.arange(15),
        "exposure_time": 1.8,
        "monitor": ("time", np.arange(1.0, number + 1), {"units": "counts"}),
        "temperature": ("time", np.arange(1.0, number + 1), {"units": "K"}),
        "frame_status": ("time", np.where(np.arange(number) == 10, 8, 0).astype("int8")),
        "time_bounds": (("time", "bounds"), bounds),
    }
    image = (("time", "y", "x"), counts, {"units": "counts", "count_cutoff": 500})
    return xr.Dataset({"image": image}, coords)


@pytest.mark.parametrize("chunk", [None, 2, 6, 21])
def test_sums_are_those_of_numpy_and_stay_counts(chunk):
    data = scan()
    raw = data.image.values.astype(float)
    raw[raw < 0] = np.nan
    found = xi.rebin(data if chunk is None else data.chunk({"time": chunk}), time=3)
    expected = raw.reshape(7, 3, 12, 15).sum(axis=1)
    expected[2, 5, 5] = 1500
    np.testing.assert_array_equal(found.image.values, expected)
    assert found.attrs["count_cutoff"] == found.image.attrs["count_cutoff"] == 1500
    series = xi.measure(found, [xi.Roi("a", (1, 11), (1, 14))]).compute()
    np.testing.assert_allclose(series.intensity_errors**2, series.intensity)
    assert (series.n_saturated.values[:, 0] > 0).tolist() == [False, False, True] + [False] * 4
    assert (series.quality.values[1, 0] & Quality.MASKED_PIXELS) > 0


def test_what_is_known_of_frames_goes_along():
    found = xi.rebin(scan(), time=3)
    assert float(found.exposure_time) == pytest.approx(5.4)
    assert found.monitor.values[:2].tolist() == [6.0, 15.0]
    assert found.temperature.values[:2].tolist() == [2.0, 5.0]
    assert found.frame_status.values.tolist() == [0, 0, 0, 8, 0, 0, 0]
    first, last = found.time_bounds.values[1]
    assert (first - found.time.values[1], last - first) == (np.timedelta64(0), np.timedelta64(5800, "ms"))
    np.testing.assert_array_equal(found.time, scan().time[::3])


def test_a_rest_is_left_out_and_said_and_nonsense_is_refused():
    with pytest.warns(xi.XinsituWarning, match="last 1 of 21 frames"):
        assert xi.rebin(scan(), time=4).sizes["time"] == 5
    for nonsense in (0, 22, 2.5, True):
        with pytest.raises(xi.SchemaError, match="number of frames"):
            xi.rebin(scan(), time=nonsense)
