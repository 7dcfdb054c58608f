"""Slopes of series without errors: value and error are those of scipy's linear regression."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import xinsitu as xi

START = np.datetime64("2014-05-28T08:00:00", "ns")


@pytest.mark.parametrize("frames", [3, 4, 40])
def test_scatter_about_the_line_gives_the_error(frames: int) -> None:
    rng = np.random.default_rng(frames)
    t = np.round(np.cumsum(rng.uniform(0.5, 3, frames)), 6)
    y = 20 - 0.3 * t + rng.normal(0, 0.7, frames)
    time = START + np.round((t - t[0]) * 1e9).astype("timedelta64[ns]")
    series = xr.Dataset({"com_y": (("time", "roi"), y[:, None])}, {"time": time, "roi": ["WZ"]})
    true = stats.linregress(t, y)
    compared = xi.compare({"0884": series}).slopes.sel(sample="0884", roi="WZ", quantity="com_y")
    line = xi.slope(series.com_y.sel(roi="WZ"))
    for slope, error in ((compared.slope, compared.slope_errors), (line.slope, line.slope_errors)):
        assert float(slope) == pytest.approx(true.slope, rel=1e-6)
        assert float(error) == pytest.approx(true.stderr, rel=1e-5)
    assert int(compared.frames) == frames


def test_two_points_have_no_scatter() -> None:
    time = START + np.arange(2) * np.timedelta64(1, "s")
    series = xr.Dataset({"com_y": (("time", "roi"), [[5.0], [7.0]])}, {"time": time, "roi": ["WZ"]})
    assert np.isnan(xi.compare({"0884": series}).slopes.slope.item())
    line = xi.slope(series.com_y.sel(roi="WZ"))
    assert float(line.slope) == 2
    assert np.isnan(line.slope_errors)
