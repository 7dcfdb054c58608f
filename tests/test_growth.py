"""Growth rates, references, splines, and reciprocal space."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import xinsitu as xi

START = np.datetime64("2014-05-28T08:00", "ns")


def series(values, errors=None):
    time = START + (np.arange(len(values)) * 1.5e9).astype("timedelta64[ns]")
    names = {"dims": ("time", "roi"), "coords": {"time": time, "roi": ["WZ", "ZB"]}}
    data = xr.Dataset({"intensity": xr.DataArray(values, **names, attrs={"units": "counts", "long_name": "intensity"})})
    if errors is not None:
        data["intensity_errors"] = xr.DataArray(errors, **names, attrs={"units": "counts"})
    return data


# -- rates ------------------------------------------------------------------------------------------------------------


def test_slope_is_that_of_linregress():
    values = np.random.default_rng(0).normal(size=(40, 2)) + np.arange(40)[:, None] * [1.0, -2.0]
    data = series(values).intensity
    window = (START + np.timedelta64(9, "s"), "2014-05-28T08:00:45")
    found = xi.slope(data, window)
    part = data.sel(time=slice(*window))
    assert found.n_points.values.tolist() == [25, 25]
    for roi in ("WZ", "ZB"):
        time = (part.time - part.time[0]).values / np.timedelta64(1, "s")
        expected = scipy.stats.linregress(time, part.sel(roi=roi).values)
        assert float(found.slope.sel(roi=roi)) == pytest.approx(expected.slope, rel=1e-10)
        assert float(found.slope_errors.sel(roi=roi)) == pytest.approx(expected.stderr, rel=1e-10)
    assert found.slope.attrs["units"] == "counts/s"


@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_slope_against_the_truth(counts):
    rng = np.random.default_rng(counts)
    truth = counts * (1 + 0.02 * np.arange(30))
    time = START + (np.arange(30) * 1e9).astype("timedelta64[ns]")
    values = xr.DataArray(rng.poisson(truth, (1000, 30)).T.astype(float), dims=("time", "n"), coords={"time": time})
    errors = xr.DataArray(np.sqrt(truth), dims="time", coords={"time": time}).broadcast_like(values)
    found = xi.slope(values, errors=errors)
    scatter = float(found.slope.std(ddof=1))
    assert abs(float(found.slope.mean()) - 0.02 * counts) < 4 * scatter / np.sqrt(1000)
    assert abs(float(found.slope_errors.mean()) / scatter - 1) < 0.1
    assert float(found.chi_square.mean()) == pytest.approx(28, rel=0.05)


def test_slope_leaves_out_what_is_missing():
    values = 2.0 + 3.0 * np.arange(12.0)[:, None] * [1, 1]
    values[4:6, 0] = np.nan
    found = xi.slope(series(values).intensity)
    np.testing.assert_allclose(found.slope, [2.0, 2.0])
    assert found.n_points.values.tolist() == [10, 12]
    with pytest.raises(xi.SchemaError, match="no frame"):
        xi.slope(series(values).intensity, ("2015-01-01", None))


def test_normalise_to_a_window():
    data = series(np.arange(1.0, 21.0)[:, None] * [1, 2], np.ones((20, 2)))
    result = xi.normalise(data, (None, START + np.timedelta64(3, "s")))
    np.testing.assert_allclose(result.intensity, data.intensity / [2.0, 4.0])
    np.testing.assert_allclose(result.intensity_errors[0], [0.5, 0.25])
    assert result.intensity.attrs["units"] == "1"
    assert data.intensity.attrs["units"] == "counts"
    alone = xi.normalise(data.intensity, (None, START + np.timedelta64(3, "s")))
    np.testing.assert_allclose(alone, result.intensity)


def test_spline_follows_the_truth_better_than_the_data():
    rng = np.random.default_rng(1)
    seconds = np.sort(rng.uniform(0, 100, 120))
    truth = 500 + 200 * np.sin(seconds / 12)
    values = rng.poisson(truth).astype(float)
    values[50:53] = np.nan
    time = START + (seconds * 1e9).astype("timedelta64[ns]")
    data = xr.DataArray(values, dims="time", coords={"time": time})
    smooth = xi.smoothing_spline(data, errors=xr.DataArray(np.sqrt(truth), dims="time", coords={"time": time}))
    assert np.isnan(smooth.values).sum() == 3
    assert float(abs(smooth - truth).mean()) < 0.6 * float(abs(data - truth).mean())
    assert np.isnan(xi.smoothing_spline(data[:4])).all()


# -- reciprocal space -------------------------------------------------------------------------------------------------


def measured(**roi):
    y, x = np.arange(60)[:, None], np.arange(80)
    truth = 5000 * np.exp(-0.5 * ((y - 31.4) / 3) ** 2 - 0.5 * ((x - 42.7) / 4) ** 2)
    image = xr.DataArray(truth[None].round().astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    return xi.measure(image, [xi.Roi("a", (10, 55), (15, 75), **roi), xi.Roi("b", (12, 52), (20, 70))])


def test_positions_and_widths_in_reciprocal_space():
    y, x = np.arange(60)[:, None], np.arange(80)
    l_map = 1.8 - 0.005 * x + 0.0002 * (y - 32)  # falls along x, and is tilted
    l_axis = xi.reciprocal_axis(l_map, "l", lattice_constant=7.0)
    k_axis = xi.reciprocal_axis(0.9 + 0.01 * np.arange(60), "k", axis="y")
    series = measured()
    found = xi.calibrate(series, {"x": l_axis, "y": k_axis})
    factor = 2 * np.pi / 7.0
    middle = (np.arange(10, 55).mean() - 32) * 0.0002
    assert float(found.com_l.sel(roi="a")[0]) == pytest.approx(factor * (1.8 - 0.005 * 42.7 + middle), rel=1e-5)
    assert float(found.com_k.sel(roi="a")[0]) == pytest.approx(0.9 + 0.01 * 31.4, rel=1e-5)
    np.testing.assert_allclose(found.fwhm_l, factor * 0.005 * series.fwhm_x, rtol=1e-9)
    np.testing.assert_allclose(found.com_l_errors, factor * 0.005 * series.com_x_errors, rtol=1e-9)
    np.testing.assert_allclose(found.l_spread, factor * 0.0001 * np.array([44, 39]), rtol=1e-9)
    assert found.com_l.attrs["units"] == "1/angstrom"
    assert found.com_k.attrs["units"] == "r.l.u."
    assert float(found.k_spread.max()) == 0
    xr.testing.assert_identical(found[list(series.data_vars)], series)


def test_calibration_is_lazy(computes):
    image = xr.DataArray(np.ones((4, 9, 9), "int32"), dims=("time", "y", "x")).chunk({"time": 2})
    with computes(0):
        series = xi.measure(image, [xi.Roi("a", (1, 8), (1, 8))])
        found = xi.calibrate(series, {"x": xi.reciprocal_axis(np.arange(9) * 0.1, "l", axis="x")})
        assert found.com_l.chunks is not None
    np.testing.assert_allclose(found.com_l, 0.4)


def test_a_profile_on_a_calibrated_axis():
    axis = xi.reciprocal_axis(1 + 0.02 * np.arange(80), "l", axis="x", lattice_constant=2 * np.pi)
    x = np.arange(20, 60)
    profile = xr.DataArray(np.exp(-0.5 * ((x - 40) / 5) ** 2), dims="x", coords={"x": x})
    found = xi.calibrate_profile(profile, axis)
    assert float(xi.fwhm(found, "l")) == pytest.approx(0.02 * 5 * 2.3548, rel=2e-2)
    assert xi.fwhm(found, "l").attrs["units"] == "1/angstrom"
    assert float(xi.scherrer_size(xi.fwhm(found, "l"))["size"]) > 0
    with pytest.raises(xi.SchemaError, match="say of which ROI"):
        xi.calibrate_profile(profile, xi.reciprocal_axis(np.ones((60, 80)), "l"))


def test_calibrations_that_do_not_fit_are_refused():
    with pytest.raises(xi.SchemaError, match="covers x = 0 to 49"):
        xi.calibrate(measured(), {"x": xi.reciprocal_axis(np.arange(50.0), "l", axis="x")})
    with pytest.raises(xi.SchemaError, match="not y"):
        xi.calibrate(measured(), {"y": xi.reciprocal_axis(np.arange(90.0), "l", axis="x")})
    with pytest.raises(xi.SchemaError, match="not finite"):
        xi.reciprocal_axis([1.0, np.nan], "l", axis="x")
    with pytest.raises(xi.SchemaError, match="with its axis"):
        xi.reciprocal_axis([1.0, 2.0], "l")
