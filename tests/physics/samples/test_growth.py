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


def agree(values, stated, truth, *, within=0.15):
    """Mean within its own error of the truth, scatter within 15 % of the stated errors."""
    scatter, number = float(values.std(ddof=1)), values.size
    assert abs(float(values.mean()) - truth) < 4 * scatter / np.sqrt(number), (float(values.mean()), truth)
    assert abs(float((stated**2).mean() ** 0.5) / scatter - 1) < within, (float(stated.mean()), scatter)


def repeated(truth, seed, repeats=1000):
    """Counts of the same growth, ``(time, n)``, one second apart."""
    values = np.random.default_rng(seed).poisson(truth, (repeats, len(truth))).T.astype(float)
    time = START + (np.arange(len(truth)) * 1e9).astype("timedelta64[ns]")
    return xr.DataArray(values, dims=("time", "n"), coords={"time": time}, attrs={"units": "counts"})


@pytest.mark.parametrize("counts", [20, 200, 20_000])
@pytest.mark.parametrize("errors", ["known", "counted", "none"])
def test_slope_against_the_truth(counts, errors):
    truth = counts * (1 + 0.02 * np.arange(30))
    values = repeated(truth, counts)
    known = xr.DataArray(np.sqrt(truth), dims="time", coords={"time": values.time}).broadcast_like(values)
    given = {"known": known, "counted": np.sqrt(values), "none": None}[errors]
    found = xi.slope(values, errors=given)
    agree(found.slope, found.slope_errors, 0.02 * counts)
    if errors != "none":
        assert float(found.chi_square.mean()) == pytest.approx(28, rel=0.06)
    if errors == "known":
        middle = np.average(np.arange(30), weights=1 / truth)
        agree(found.level, found.level_errors, counts * (1 + 0.02 * middle))
    if errors == "counted":  # documented: one count too low
        assert float(found.level.mean()) == pytest.approx(
            counts * 30 / np.sum(1 / (1 + 0.02 * np.arange(30))) - 1, rel=0.01
        )


@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_what_segments_share_is_kept_apart_and_adds_up(counts):
    rng, frames = np.random.default_rng(counts), 40
    truth = counts * (1 + 0.01 * np.arange(frames))
    values = repeated(truth, counts + 1)
    segment = np.repeat([0, 1, 2], [14, 13, 13])
    relative = np.array([0.03, 0.05])  # of the two changes
    shifts = np.concatenate([np.zeros((1000, 1)), np.cumsum(rng.normal(size=(1000, 2)) * relative, axis=1)], axis=1)
    seen = values * (1 + xr.DataArray(shifts[:, segment].T, dims=("time", "n")))
    scale = xr.DataArray(np.sqrt(np.r_[0, np.cumsum(relative**2)])[segment], dims="time", coords={"time": values.time})
    errors = xr.DataArray(np.sqrt(truth), dims="time", coords={"time": values.time}).broadcast_like(values)
    found = xi.slope(seen, errors=errors, scale=scale)
    agree(found.slope, np.hypot(found.slope_errors, found.slope_scale_errors), 0.01 * counts)
    agree(found.level, np.hypot(found.level_errors, found.level_scale_errors), float(found.level.mean()))
    assert found.slope_scale_errors.attrs["units"] == "counts/s"
    alone = xi.slope(values, errors=errors, scale=xr.full_like(scale, 0.04))  # one segment: the slope as a whole
    np.testing.assert_allclose(alone.slope_scale_errors, 0.04 * abs(alone.slope), rtol=1e-9, atol=1e-12)
    assert "slope_scale_errors" not in xi.slope(values, errors=errors)


@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_a_normalised_series_and_the_error_of_its_reference(counts):
    truth = np.full(25, float(counts))
    values = repeated(truth, counts + 2)
    data = xr.Dataset({"intensity": values.rename(n="roi"), "intensity_errors": np.sqrt(values).rename(n="roi")})
    data["intensity"].attrs["units"] = "counts"
    found = xi.normalise(data, (values.time.values[0], values.time.values[9]))
    late = found.intensity[20]
    both = np.hypot(found.intensity_errors[20], late * found.reference_errors)
    bias = 1 / (10 * counts)  # of one over a mean of counts
    assert abs(float(late.mean()) - 1 - bias) < 4 * float(late.std()) / np.sqrt(1000)
    assert float((both**2).mean() ** 0.5) == pytest.approx(float(late.std(ddof=1)), rel=0.15)
    assert found.reference_errors.dims == ("roi",)
    assert found.reference_errors.attrs["units"] == "1"


@pytest.mark.thorough("20000-None-25")
@pytest.mark.parametrize(
    ("counts", "strength", "repeats"),
    [(20, 300.0, 1000), (200, 100.0, 1000), (20_000, 10.0, 1000), (20, None, 25), (200, None, 25), (20_000, None, 25)],
)
def test_spline_against_the_truth(counts, strength, repeats):
    time = np.arange(60)
    truth = counts * (1 + 0.3 * np.sin(time / 9))
    values = repeated(truth, counts + 3, repeats)
    errors = xr.DataArray(np.sqrt(truth), dims="time", coords={"time": values.time}).broadcast_like(values)
    smooth = xi.smoothing_spline(values, errors=errors, strength=strength)
    middle = slice(5, 55)
    bias, own = abs(smooth.mean("n") - truth)[middle], smooth.std("n")[middle] / np.sqrt(repeats)
    assert float(bias.max()) < 0.25 * float(values.std("n")[middle].mean()) + 4 * float(own.max())
    assert float((smooth.std("n") / values.std("n"))[middle].mean()) < 0.55


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
