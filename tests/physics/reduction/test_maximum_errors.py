"""Errors of the highest pixel: they are those of its scatter, or not given."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi


def measured(counts, sigma, ground=0.5, shift=0.0, frames=700, seed=3):
    y, x = np.mgrid[:26, :30]
    spot = np.exp(-((y - 12 - shift) ** 2 + (x - 14 - shift) ** 2) / (2 * sigma**2))
    image = np.random.default_rng(seed).poisson(counts * spot / spot.sum() + ground, (frames, 26, 30)).astype("int32")
    data = xr.DataArray(image, dims=("time", "y", "x"), attrs={"units": "counts"})
    return xi.measure(data, [xi.Roi("s", y=(1, 25), x=(1, 29))]).compute().isel(roi=0), image[:, 1:25, 1:29]


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("sigma", [0.6, 0.8, 1.2, 2.0])
@pytest.mark.parametrize("counts", [300, 3_000, 30_000, 300_000])
def test_errors_of_the_maximum_are_its_scatter_or_not_given(counts, sigma, shift):
    series, image = measured(counts, sigma, shift=shift)
    np.testing.assert_array_equal(series.maximum, image.max(axis=(1, 2)))
    known = series.maximum_errors.notnull().values
    if known.mean() > 0.05:
        ratio = series.maximum_errors.values[known].mean() / series.maximum.values[known].std(ddof=1)
        assert abs(ratio - 1) < 0.15, ratio
    else:
        assert known.mean() < 0.02


@pytest.mark.parametrize("ground", [0.02, 1.0, 50.0])
def test_the_highest_of_many_alike_has_no_error(ground):
    series, _ = measured(0, 2.0, ground=ground)
    assert series.maximum_errors.isnull().all()
    assert series.maximum.notnull().all()


@pytest.mark.parametrize("counts", [3_000, 300_000])
def test_a_sharp_spot_has_one_in_every_frame(counts):
    series, _ = measured(counts, 0.6)
    np.testing.assert_allclose(series.maximum_errors, np.sqrt(series.maximum))


def test_one_pixel_and_none():
    data = xr.DataArray(np.full((4, 3, 3), 400, "int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    single = xi.measure(data, [xi.Roi("s", y=(1, 2), x=(1, 2))]).isel(roi=0)
    np.testing.assert_allclose(single.maximum_errors, 20)
    mask = xr.DataArray(np.ones((3, 3), bool), dims=("y", "x"))
    nothing = xi.measure(data, [xi.Roi("s", y=(0, 3), x=(0, 3))], correction=xi.Correction(mask=mask)).isel(roi=0)
    assert nothing.maximum.isnull().all()
    assert nothing.maximum_errors.isnull().all()
