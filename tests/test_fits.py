"""Fits against lmfit on the same data, and against the truth over many repetitions."""

from __future__ import annotations

import pickle

import lmfit.models
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.schema import Quality

LMFIT = {
    "gaussian": lmfit.models.GaussianModel,
    "lorentzian": lmfit.models.LorentzianModel,
    "pseudo_voigt": lmfit.models.PseudoVoigtModel,
}


def peak(shape, x, height=50.0, centre=31.7, fwhm=9.0, fraction=0.4):
    u = (x - centre) / fwhm
    wide, round_ = 1 / (1 + 4 * u**2), np.exp(-4 * np.log(2) * u**2)
    part = {"gaussian": 0.0, "lorentzian": 1.0, "pseudo_voigt": fraction}[shape]
    return height * (part * wide + (1 - part) * round_)


@pytest.mark.parametrize("shape", LMFIT)
@pytest.mark.parametrize("weighted", [False, True])
def test_fits_agree_with_lmfit(shape, weighted):
    x = np.arange(70.0)
    rng = np.random.default_rng(3)
    truth = peak(shape, x) + 4 + 0.05 * (x - 34.5)
    sigma = np.sqrt(truth) if weighted else np.full_like(x, 2.0)
    rows = truth + rng.normal(size=(5, 70)) * sigma
    profile = xr.DataArray(rows, dims=("time", "x"), coords={"x": x + 100}, attrs={"units": "counts"})
    errors = xr.DataArray(sigma, dims="x", coords={"x": x + 100}) if weighted else None
    given = None if errors is None else errors.broadcast_like(profile)
    found = xi.fit_profiles(profile, "x", shape=shape, errors=given)
    model = LMFIT[shape]() + lmfit.models.LinearModel()
    for number, row in enumerate(rows):
        start = model.make_params(amplitude=500, center=31, sigma=4, slope=0.0, intercept=4)
        tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "jac": "3-point"}
        how = {"x": x, "weights": 1 / sigma, "scale_covar": not weighted}
        theirs = model.fit(row, start, method="least_squares", fit_kws=tight, **how)
        ours = found.isel(time=number)
        assert int(ours.quality) == 0
        assert float(ours.centre) == pytest.approx(theirs.params["center"].value + 100, rel=1e-6)
        assert float(ours.fwhm) == pytest.approx(theirs.params["fwhm"].value, rel=1e-6)
        assert float(ours.slope) == pytest.approx(theirs.params["slope"].value, rel=1e-5, abs=1e-7)
        assert float(ours.area) == pytest.approx(theirs.params["amplitude"].value, rel=2e-5)
        assert float(ours.centre_errors) == pytest.approx(theirs.params["center"].stderr, rel=1e-3)
        assert float(ours.area_errors) == pytest.approx(theirs.params["amplitude"].stderr, rel=1e-2)
        if shape != "pseudo_voigt":
            assert float(ours.fwhm_errors) == pytest.approx(theirs.params["fwhm"].stderr, rel=1e-3)
        covariance = ours.covariance.sel(parameter="centre", parameter_="centre")
        assert float(covariance) == pytest.approx(float(ours.centre_errors) ** 2)


def spots(counts, level, repeats=1000, seed=0):
    y, x = np.arange(40)[:, None], np.arange(44)
    shape = np.exp(-0.5 * ((y - 19.3) / 3.0) ** 2 - 0.5 * ((x - 22.6) / 4.0) ** 2)
    mean = counts * shape / shape.sum() + level
    frames = np.random.default_rng(seed).poisson(mean, (repeats, 40, 44)).astype("int32")
    return xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})


@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_profile_fits_against_the_truth(counts):
    found = xi.fit_rois(spots(counts, 0.02), [xi.Roi("s", (2, 38), (2, 42))]).isel(roi=0)
    for axis, centre, sigma in (("y", 19.3, 3.0), ("x", 22.6, 4.0)):
        good = found[f"quality_{axis}"] == 0
        if counts == 20:
            assert float(good.mean()) < 0.6  # most are flagged, none is a silent start value
            continue
        assert float(good.mean()) > (0.97 if counts == 200 else 0.999)
        for name, truth in (("centre", centre), ("fwhm", sigma * 2.35482)):
            values, errors = (found[f"{name}_{axis}{end}"].where(good, drop=True) for end in ("", "_errors"))
            scatter = float(values.std(ddof=1))
            stated = float((errors**2).mean() ** 0.5)
            bias = abs(float(values.mean()) - truth)
            allowed = 4 * scatter / np.sqrt(values.size) + (0.004 * truth if name == "fwhm" else 0)
            if counts == 200 and name == "fwhm":
                allowed += 0.02 * truth  # a width of 200 counts is not symmetric about its truth
            assert bias < allowed, (name, axis, bias, allowed)
            assert abs(stated / scatter - 1) < 0.15, (name, axis, stated, scatter)


@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_spot_fits_against_the_truth(counts):
    repeats = 60 if counts == 20 else 300
    found = xi.fit_spots(spots(counts, 0.05, repeats), [xi.Roi("s", (4, 36), (4, 42))]).isel(roi=0)
    good = found.quality == 0
    if counts == 20:
        assert float(good.mean()) < 0.9
        return
    assert float(good.mean()) > 0.98
    truths = {"centre_y": 19.3, "centre_x": 22.6, "fwhm_y": 7.0645, "fwhm_x": 9.4193, "tilt": 0.0, "volume": counts}
    for name, truth in truths.items():
        values, errors = (found[f"{name}{end}"].where(good, drop=True) for end in ("", "_errors"))
        scatter, stated = float(values.std(ddof=1)), float((errors**2).mean() ** 0.5)
        slack = 0.02 * truth if counts == 200 and name.startswith("fwhm") else 0.004 * abs(truth)
        assert abs(float(values.mean()) - truth) < 4 * scatter / np.sqrt(values.size) + slack, name
        assert abs(stated / scatter - 1) < 0.2, (name, stated, scatter)


def test_a_tilted_spot_without_noise_comes_back():
    y, x = np.arange(50.0)[:, None], np.arange(60.0)
    u, v = (y - 24.2) / 11.0, (x - 31.6) / 15.0
    mean = 900 * np.exp(-4 * np.log(2) * (u**2 - 2 * 0.5 * u * v + v**2) / (1 - 0.25)) + 7
    image = xr.DataArray(mean[None], dims=("time", "y", "x"), attrs={"units": "1"})
    image = image.assign_coords(y=np.arange(100, 150), x=np.arange(200, 260))
    own = xi.fit_spots(image, [xi.Roi("s", (102, 148), (202, 258))]).isel(time=0, roi=0)
    truths = {"height": 900, "centre_y": 124.2, "centre_x": 231.6, "fwhm_y": 11, "fwhm_x": 15, "tilt": 0.5, "level": 7}
    for name, truth in truths.items():
        assert float(own[name]) == pytest.approx(truth, rel=1e-5), name
    assert float(own.volume) == pytest.approx(900 * 11 * 15 * np.sqrt(0.75) * np.pi / (4 * np.log(2)), rel=1e-5)


def test_fits_are_lazy_pickle_and_do_not_depend_on_chunks(computes):
    image = spots(5000, 0.5, 12)
    rois = [xi.Roi("s", (4, 36), (4, 42), background=("b",)), xi.Roi("b", (0, 3), (0, 44), role="background")]
    with computes(0):
        profiles = xi.fit_rois(image.chunk({"time": 5}), rois)
        whole = xi.fit_spots(image.chunk({"time": 5}), rois)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(profiles)).centre_y, xi.fit_rois(image, rois).centre_y)
    np.testing.assert_allclose(whole.centre_y, xi.fit_spots(image, rois).centre_y, rtol=1e-7)
    assert profiles.roi.values.tolist() == ["s"]
    assert profiles.centre_y.dims == ("time", "roi")


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.0])
def test_narrow_peaks_are_averaged_over_pixels(sigma):
    x = np.arange(30.0)
    fine = (np.arange(2000) + 0.5) / 2000 - 0.5
    row = np.exp(-0.5 * ((x[:, None] + fine - 14.37) / sigma) ** 2).mean(axis=1) * 1000 + 5
    profile = xr.DataArray(row, dims="x")
    found = xi.fit_profiles(profile, "x", shape="pixel_gaussian")
    assert float(found.fwhm) == pytest.approx(2.35482 * sigma, rel=1e-4)
    assert float(found.centre) == pytest.approx(14.37, abs=1e-5)
    assert float(found.area) == pytest.approx(1000 * sigma * np.sqrt(2 * np.pi), rel=1e-4)
    if sigma < 1.5:
        assert float(xi.fit_profiles(profile, "x").fwhm) > 1.02 * 2.35482 * sigma


def test_what_cannot_be_fitted_is_nan_and_flagged():
    rows = np.zeros((4, 40))
    rows[1] = peak("gaussian", np.arange(40.0), centre=18, fwhm=6)
    rows[2] = np.nan
    rows[3] = np.random.default_rng(0).normal(size=40)
    found = xi.fit_profiles(xr.DataArray(rows, dims=("time", "x")), "x")
    failed = (found.quality.values & Quality.FIT_FAILED) > 0
    assert failed.tolist() == [True, False, True, True]
    for name in ("height", "centre", "fwhm", "area", "centre_errors"):
        assert np.isnan(found[name].values[failed]).all()


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(xi.SchemaError, match="voight"):
        xi.fit_profiles(xr.DataArray(np.ones(30), dims="x"), "x", shape="voight")
    with pytest.raises(xi.SchemaError, match="too few"):
        xi.fit_profiles(xr.DataArray(np.ones(5), dims="x"), "x")
    with pytest.raises(xi.SchemaError, match="no ROI"):
        xi.fit_rois(spots(20, 0, 1), [xi.Roi("b", (0, 3), (0, 44), role="background")])
