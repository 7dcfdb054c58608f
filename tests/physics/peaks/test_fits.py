"""Fits against lmfit on the same data, and against the truth over many repetitions."""

from __future__ import annotations

import pickle

import dask.array as da
import lmfit.models
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import xarray as xr

import xinsitu as xi
from xinsitu.kernels import shapes
from xinsitu.schema import Quality
from xinsitu.values import Key, KeyFrame

LMFIT = {
    "gaussian": lmfit.models.GaussianModel,
    "lorentzian": lmfit.models.LorentzianModel,
    "pseudo_voigt": lmfit.models.PseudoVoigtModel,
    "voigt": lmfit.models.VoigtModel,
}


def peak(shape, x, height=50.0, centre=31.7, fwhm=9.0, fraction=0.4):
    if shape == "voigt":
        sigma, gamma = 2.4, 1.6
        return height * scipy.special.voigt_profile(x - centre, sigma, gamma) * 20
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
        if shape == "voigt":
            start["gamma"].set(value=1.0, vary=True, expr="", min=0)
        tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "jac": "3-point"}
        how = {"x": x, "weights": 1 / sigma, "scale_covar": not weighted}
        theirs = model.fit(row, start, method="least_squares", fit_kws=tight, **how)
        ours = found.isel(time=number)
        assert int(ours.quality) == 0
        assert float(ours.centre) == pytest.approx(theirs.params["center"].value + 100, rel=1e-6)
        if shape == "voigt":  # lmfit rounds the numbers of its formula for the width
            lorentzian, gaussian = (
                2 * theirs.params["gamma"].value,
                theirs.params["sigma"].value * np.sqrt(8 * np.log(2)),
            )
            assert float(ours.fwhm_lorentzian) == pytest.approx(lorentzian, rel=1e-6)
            assert float(ours.fwhm_gaussian) == pytest.approx(gaussian, rel=1e-6)
            wide = 0.5346 * lorentzian + np.sqrt(0.2166 * lorentzian**2 + gaussian**2)
            assert float(ours.fwhm) == pytest.approx(wide, rel=1e-6)
            stderr = 2 * theirs.params["gamma"].stderr
            assert float(ours.fwhm_lorentzian_errors) == pytest.approx(stderr, rel=1e-3)
            stderr = theirs.params["sigma"].stderr * np.sqrt(8 * np.log(2))
            assert float(ours.fwhm_gaussian_errors) == pytest.approx(stderr, rel=1e-3)
        else:
            assert float(ours.fwhm) == pytest.approx(theirs.params["fwhm"].value, rel=1e-6)
        assert float(ours.slope) == pytest.approx(theirs.params["slope"].value, rel=1e-5, abs=1e-7)
        assert float(ours.area) == pytest.approx(theirs.params["amplitude"].value, rel=2e-5)
        assert float(ours.centre_errors) == pytest.approx(theirs.params["center"].stderr, rel=1e-3)
        assert float(ours.area_errors) == pytest.approx(theirs.params["amplitude"].stderr, rel=1e-2)
        if "voigt" not in shape:
            assert float(ours.fwhm_errors) == pytest.approx(theirs.params["fwhm"].stderr, rel=1e-3)
        covariance = ours.covariance.sel(parameter="centre", parameter_="centre")
        assert float(covariance) == pytest.approx(float(ours.centre_errors) ** 2)
        assert int(ours.n_free) == 70 - len(ours.parameter)
        assert float(ours.chi_square) == pytest.approx(theirs.chisqr * (1.0 if weighted else 4.0), rel=1e-6)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
def test_the_voigt_profile_is_that_of_scipy_and_its_slopes_are_its_own(fraction):
    u, part = np.linspace(-3, 3, 61)[None], np.array([[fraction]])
    sigma = float(shapes.gaussian_width(part)[0][0, 0]) / np.sqrt(8 * np.log(2))
    expected = scipy.special.voigt_profile(u, sigma, fraction / 2)
    value, by_u, by_fraction = shapes.voigt(u, part)
    np.testing.assert_allclose(value, expected / scipy.special.voigt_profile(0, sigma, fraction / 2), rtol=1e-10)
    half = scipy.optimize.brentq(lambda at: shapes.voigt(np.array([at]), part[0])[0][0] - 0.5, 0.4, 0.6)
    assert half == pytest.approx(0.5, rel=3e-4)
    step = 1e-6
    ahead, behind = shapes.voigt(u + step, part)[0], shapes.voigt(u - step, part)[0]
    np.testing.assert_allclose(by_u, (ahead - behind) / (2 * step), atol=1e-8)
    ahead, behind = shapes.voigt(u, part + step)[0], shapes.voigt(u, part - step)[0]
    np.testing.assert_allclose(by_fraction, (ahead - behind) / (2 * step), atol=1e-7)
    area, change = shapes.area_of("voigt", part)
    assert float(area[0, 0]) == pytest.approx(1 / scipy.special.voigt_profile(0, sigma, fraction / 2))
    ahead, behind = shapes.area_of("voigt", part + step)[0], shapes.area_of("voigt", part - step)[0]
    np.testing.assert_allclose(change, (ahead - behind) / (2 * step), rtol=1e-5)


@pytest.mark.thorough
def test_parts_of_a_voigt_profile_against_the_truth():
    x = np.arange(80.0)
    truth = 4000 * scipy.special.voigt_profile(x - 38.3, 2.5, 2.0) + 3
    rows = np.random.default_rng(2).poisson(5 * truth, (1000, 80)).astype(float)
    profile = xr.DataArray(rows, dims=("time", "x"), attrs={"units": "counts"})
    errors = np.sqrt(profile)
    found = xi.fit_profiles(profile, "x", shape="voigt", errors=errors, per_count=xr.DataArray(1.0))
    good = found.quality == 0
    assert float(good.mean()) > 0.99
    width = 2.5 * np.sqrt(8 * np.log(2))
    truths = {"centre": 38.3, "fwhm_gaussian": width, "fwhm_lorentzian": 4.0, "area": 20_000.0}
    for name, value in truths.items():
        values, stated = found[name].where(good, drop=True), found[f"{name}_errors"].where(good, drop=True)
        scatter = float(values.std(ddof=1))
        assert abs(float(values.mean()) - value) < 4 * scatter / np.sqrt(1000) + 2e-3 * value, name
        assert abs(float((stated**2).mean() ** 0.5) / scatter - 1) < 0.15, name


@pytest.mark.parametrize("counts", [1e2, 1e4, 1e6, 1e9, 1e12])
def test_fits_arrive_however_much_is_counted(counts):
    x = np.arange(60.0)
    rng = np.random.default_rng(5)
    truth = counts * peak("gaussian", x, height=1.0, centre=29.2, fwhm=12.0) + counts / 50
    rows = np.maximum(truth + np.sqrt(truth) * rng.normal(size=(300, 60)), 0).round()
    profile = xr.DataArray(rows - counts / 50, dims=("time", "x"))  # a background was taken off
    found = xi.fit_profiles(
        profile, "x", errors=np.sqrt(xr.DataArray(rows, dims=("time", "x"))), per_count=xr.DataArray(1.0)
    )
    assert int((found.quality > 0).sum()) == 0
    assert float((found.centre - 29.2).std() / found.centre_errors.mean()) == pytest.approx(1, abs=0.15)
    assert float((found.chi_square / found.n_free).mean()) == pytest.approx(1, abs=0.05)


def test_a_voigt_that_the_data_do_not_determine_is_flagged_not_made_up():
    x = np.arange(60.0)
    rows = np.random.default_rng(4).poisson(3000 * peak("lorentzian", x, height=1.0, centre=29.2) + 2, (40, 60))
    profile = xr.DataArray(rows.astype(float), dims=("time", "x"))
    found = xi.fit_profiles(profile, "x", shape="voigt", errors=np.sqrt(profile), per_count=xr.DataArray(1.0))
    failed = (found.quality & Quality.FIT_FAILED) > 0
    assert 0.2 < float(failed.mean()) < 0.9  # on half of them the Gaussian part would have to be negative
    assert np.isnan(found.fwhm.where(failed, drop=True)).all()
    assert (found.fwhm_gaussian.where(~failed, drop=True) > 0).all()


@pytest.mark.thorough("20000-gaussian")
@pytest.mark.parametrize("shape", ["gaussian", "lorentzian", "pseudo_voigt", "voigt"])
@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_every_shape_against_the_truth_or_flagged(shape, counts):
    x = np.arange(80.0)
    truth = peak(shape, x, height=1.0, centre=38.3, fwhm=9.0)
    mean = counts * truth / truth.sum() + 0.0004 * counts
    profile = xr.DataArray(np.random.default_rng(7).poisson(mean, (1000, 80)).astype(float), dims=("time", "x"))
    found = xi.fit_profiles(profile, "x", shape=shape, errors=np.sqrt(profile), per_count=xr.DataArray(1.0))
    good = found.quality == 0
    if counts == 20:  # none without a flag, none a silent start value
        assert not good.any()
        failed = (found.quality & Quality.FIT_FAILED) > 0
        assert found.centre.where(failed, drop=True).isnull().all()
        assert ((found.quality.where(~failed, drop=True).astype(int) & Quality.ERRORS_DOUBTFUL) > 0).all()
        return
    assert float(good.mean()) > (0.9 if counts == 200 else 0.999)
    top = counts / truth.sum() * truth.max() / (truth.max() / peak(shape, np.array([38.3]), 1.0, 38.3)[0])
    for name, true in (("centre", 38.3), ("height", top)):
        values, stated = (found[f"{name}{end}"].where(good, drop=True) for end in ("", "_errors"))
        scatter = float(values.std(ddof=1))
        slack = 0.01 * true if counts == 200 else 0.002 * true  # bins are not points; a height of 200 counts is skewed
        assert abs(float(values.mean()) - true) < 4 * scatter / np.sqrt(values.size) + slack, name
    for name in ("centre", "fwhm", "height", "area"):
        values, stated = (found[f"{name}{end}"].where(good, drop=True) for end in ("", "_errors"))
        ratio = float((stated**2).mean() ** 0.5 / values.std(ddof=1))
        assert abs(ratio - 1) < 0.15, (name, ratio)


def spots(counts, level, repeats=1000, seed=0):
    y, x = np.arange(40)[:, None], np.arange(44)
    shape = np.exp(-0.5 * ((y - 19.3) / 3.0) ** 2 - 0.5 * ((x - 22.6) / 4.0) ** 2)
    mean = counts * shape / shape.sum() + level
    frames = np.random.default_rng(seed).poisson(mean, (repeats, 40, 44)).astype("int32")
    return xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})


@pytest.mark.thorough("20000")
@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_profile_fits_against_the_truth(counts):
    found = xi.fit_rois(spots(counts, 0.02), [xi.Roi("s", (2, 38), (2, 42))]).isel(roi=0)
    for axis, centre, sigma in (("y", 19.3, 3.0), ("x", 22.6, 4.0)):
        good = found[f"quality_{axis}"] == 0
        if counts == 20:
            assert float(good.mean()) < 0.6  # most are flagged, none is a silent start value
            continue
        if counts == 200:
            assert float(good.mean()) > 0.97
        else:  # but for a chi square that is four standard deviations off by chance, which 0.07 % are
            chance = scipy.stats.chi2.sf(32 + 4 * np.sqrt(2 * 32), 32)
            poor = found[f"quality_{axis}"] == int(Quality.POOR_FIT)
            assert bool((good | poor).all())
            assert int(poor.sum()) <= scipy.stats.binom.ppf(0.9999, poor.size, chance)
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


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [20, 200, 20_000])
def test_spot_fits_against_the_truth(counts):
    found = xi.fit_spots(spots(counts, 0.05), [xi.Roi("s", (4, 36), (4, 42))]).isel(roi=0)
    good = found.quality == 0
    if counts == 20:
        assert float(good.mean()) < 0.9  # most are flagged, none is a silent start value
        return
    assert float(good.mean()) > 0.98
    truths = {"centre_y": 19.3, "centre_x": 22.6, "fwhm_y": 7.0645, "fwhm_x": 9.4193, "tilt": 0.0, "volume": counts}
    for name, truth in truths.items():
        values, errors = (found[f"{name}{end}"].where(good, drop=True) for end in ("", "_errors"))
        scatter, stated = float(values.std(ddof=1)), float((errors**2).mean() ** 0.5)
        slack = 0.02 * truth if counts == 200 and name.startswith("fwhm") else 0.004 * abs(truth)
        assert abs(float(values.mean()) - truth) < 4 * scatter / np.sqrt(values.size) + slack, name
        assert abs(stated / scatter - 1) < 0.15, (name, stated, scatter)


@pytest.mark.thorough("profiles-20000-3.0")
@pytest.mark.parametrize(("counts", "level"), [(200, 0.05), (2_000, 3.0), (20_000, 3.0), (20_000, 0.3)])
@pytest.mark.parametrize("kind", ["profiles", "spots"])
def test_errors_behind_a_plain_median_hold_or_are_flagged(counts, level, kind):
    function = xi.fit_rois if kind == "profiles" else xi.fit_spots
    rois = [xi.Roi("s", (4, 36), (4, 42))]
    found = function(spots(counts, level), rois, correction=xi.Correction(median=3)).isel(roi=0)
    end = "_x" if kind == "profiles" else ""
    good = (found[f"quality{end}"] & Quality.FIT_FAILED) == 0
    doubtful = (found[f"quality{end}"] & Quality.ERRORS_DOUBTFUL) > 0
    assert float(doubtful.where(good).mean()) == (1.0 if level < 1 else pytest.approx(0, abs=0.03))
    if level > 1:
        for name in ("centre_x", "fwhm_x", f"height{end}", f"level{end}"):
            values = found[name].where(good, drop=True)
            stated = found[f"{name}_errors"]
            ratio = float((stated.where(good, drop=True) ** 2).mean() ** 0.5 / values.std(ddof=1))
            assert abs(ratio - 1) < 0.15, (name, ratio)
    clean = function(spots(200, 0.05, 20), rois, correction=xi.Correction(median=3, threshold=5)).isel(roi=0)
    assert not ((clean[f"quality{end}"] & Quality.ERRORS_DOUBTFUL) > 0).any()


FLAT = xr.DataArray(1 + 0.2 * np.random.default_rng(4).random((40, 44)), dims=("y", "x"))
EMPTY = {"y": (36, 40), "x": (0, 44)}


@pytest.mark.thorough("all-edge")
@pytest.mark.parametrize("under", ["nothing", "edge", "other"])
@pytest.mark.parametrize(
    "correction",
    [
        xi.Correction(flatfield=FLAT),
        xi.Correction(background=xi.Background(**EMPTY, mode="subtract")),
        xi.Correction(background=xi.Background(**EMPTY, mode="divide")),
        xi.Correction(normalise="monitor"),
        xi.Correction(threshold=5, median=3, background=xi.Background(**EMPTY, mode="divide"), normalise="monitor"),
    ],
    ids=["flat", "subtract", "divide", "monitor", "all"],
)
def test_errors_hold_behind_every_correction(correction, under):
    monitor = np.random.default_rng(1).poisson(4000, 1000).astype(float)
    data = spots(5000, 3.0).to_dataset(name="image").assign_coords(monitor=("time", monitor, {"units": "counts"}))
    background = {"nothing": (), "edge": ("edge",), "other": ("b",)}[under]
    rois = [xi.Roi("s", (2, 33), (2, 42), background=background), xi.Roi("b", (34, 36), (0, 44), role="background")]
    kinds = [(xi.fit_rois, "_x")] + [(xi.fit_spots, "")] * (
        under == "nothing"
    )  # a spot's level is fitted, no other used
    for function, end in kinds:
        found = function(data, rois, correction=correction).isel(roi=0)
        size = "area_x" if end else "volume"
        for name in ("centre_x", "fwhm_x", f"height{end}", f"level{end}", size):
            scatter = float(found[name].std(ddof=1))
            stated = float((found[f"{name}_errors"] ** 2).mean() ** 0.5)
            assert abs(stated / scatter - 1) < 0.15, (function.__name__, name, stated, scatter)


@pytest.mark.thorough("fit_rois")
@pytest.mark.parametrize("function", [xi.fit_rois, xi.fit_spots])
def test_frames_are_read_once_for_all_rois_and_axes(function):
    read = []

    def block(number):
        read.append(number)
        return spots(3000, 0.5, 20, seed=number).values

    def load(which):
        return block(int(which.ravel()[0]))

    numbers = da.arange(4, chunks=1)[:, None, None]
    stack = da.map_blocks(
        load, numbers, chunks=((20,) * 4, (40,), (44,)), dtype="int32", meta=np.empty((0, 0, 0), "i4")
    )
    image = xr.DataArray(stack, dims=("time", "y", "x"), attrs={"units": "counts"})
    rois = [xi.Roi(name, (4, 36), (4 + shift, 40 + shift)) for name, shift in (("a", 0), ("b", 2), ("c", 4))]
    found = function(image, rois).compute(scheduler="synchronous")
    assert sorted(read) == [0, 1, 2, 3]
    assert not any(int(found[name].sum()) for name in found if name.startswith("quality"))


@pytest.mark.parametrize("function", [xi.fit_rois, xi.fit_spots])
def test_fits_follow_a_moving_roi(function):
    frames = spots(20_000, 0.5, 9)
    moved = xr.concat([frames[n : n + 1].roll(y=n, x=-n) for n in range(9)], dim="time").assign_coords(
        frame=("time", range(9))
    )
    path = (KeyFrame(Key(frame=0), (6, 30), (10, 40)), KeyFrame(Key(frame=8), (14, 38), (2, 32)))
    roi = xi.Roi("s", (6, 30), (10, 40), path=path)
    found = function(moved.chunk({"time": 4}), [roi]).isel(roi=0)
    np.testing.assert_allclose(found.centre_y, 19.3 + np.arange(9), atol=0.2)
    np.testing.assert_allclose(found.centre_x, 22.6 - np.arange(9), atol=0.2)
    still = function(frames, [xi.Roi("s", (6, 30), (10, 40))]).isel(roi=0)
    np.testing.assert_allclose(found.fwhm_y, still.fwhm_y, rtol=1e-6)


def test_pixels_that_say_nothing_do_not_count():
    image = spots(200_000, 1.0, 3)
    mask = np.zeros((40, 44), bool)
    mask[:, 20:23] = True
    correction = xi.Correction(mask=xr.DataArray(mask, dims=("y", "x")))
    for function in (xi.fit_rois, xi.fit_spots):
        found = function(image, [xi.Roi("s", (4, 36), (4, 42))], correction=correction).isel(roi=0)
        assert not any(int(found[name].sum()) for name in found if name.startswith("quality"))
        np.testing.assert_allclose(found.centre_x, 22.6, atol=0.1)
        np.testing.assert_allclose(found.fwhm_x, 9.42, atol=0.2)


def test_a_frame_before_lends_its_result_where_the_own_start_leads_nowhere():
    x = np.arange(60.0)
    row = peak("gaussian", x, height=40.0, centre=20.0, fwhm=6.0)
    hot = row.copy()
    hot[50] = 5000.0
    sigma = np.where(np.arange(60) == 50, np.inf, 1.0)
    errors = xr.DataArray([np.ones(60), sigma], dims=("time", "x"))
    both = xr.DataArray([row, hot], dims=("time", "x"))
    alone = xi.fit_profiles(both[1:], "x", errors=errors[1:])
    assert int(alone.quality[0]) & Quality.FIT_FAILED
    found = xi.fit_profiles(both, "x", errors=errors)
    np.testing.assert_allclose(found.centre, 20.0, atol=1e-6)


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


@pytest.mark.thorough
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


@pytest.mark.thorough("2.0-60000")
@pytest.mark.parametrize("counts", [40, 400, 4000, 60_000])
@pytest.mark.parametrize("ground", [0.0, 2.0])
def test_the_right_shape_is_never_poor(counts, ground):
    x = np.arange(70.0)
    curve = counts * scipy.stats.norm.pdf(x, 33.3, 4.4) + 20 * ground
    rows = xr.DataArray(np.random.default_rng(8).poisson(curve, (400, 70)).astype(float), dims=("time", "x"))
    found = xi.fit_profiles(rows, "x", errors=np.sqrt(np.maximum(rows, 0)), per_count=xr.DataArray(1.0))
    assert float((found.quality & Quality.POOR_FIT > 0).mean()) < 0.01


@pytest.mark.parametrize(
    "curve",
    [
        lambda x: scipy.stats.norm.pdf(x, 27, 2.7) + 0.7 * scipy.stats.norm.pdf(x, 37, 2.7),
        lambda x: np.exp(-0.5 * ((x - 30) / np.where(x < 30, 2.2, 5.1)) ** 2) / 9.2,
        lambda x: scipy.stats.cauchy.pdf(x, 32, 2.8),
    ],
    ids=["two", "skewed", "tails"],
)
def test_another_shape_is_poor_and_its_errors_grow(curve):
    x = np.arange(70.0)
    rows = xr.DataArray(
        np.random.default_rng(8).poisson(12_000 * curve(x) + 15, (60, 70)).astype(float), dims=("time", "x")
    )
    how = {"errors": np.sqrt(np.maximum(rows, 1)), "per_count": xr.DataArray(1.0)}
    found = xi.fit_profiles(rows, "x", **how)
    assert (found.quality & Quality.POOR_FIT > 0).all()
    ratio = found.chi_square / found.n_free
    assert (ratio > 1.5).all()
    plain = rows.copy(data=np.random.default_rng(8).poisson(12_000 * scipy.stats.norm.pdf(x, 32, 4.5) + 15, (60, 70)))
    good = xi.fit_profiles(
        plain.astype(float), "x", errors=np.sqrt(np.maximum(plain, 1.0)), per_count=xr.DataArray(1.0)
    )
    assert float(found.centre_errors.median()) > 1.1 * float(good.centre_errors.median())


def test_without_known_noise_no_fit_is_called_poor():
    x = np.arange(40.0)
    skewed = np.exp(-0.5 * ((x - 20) / np.where(x < 20, 2.2, 5.1)) ** 2)
    found = xi.fit_profiles(xr.DataArray(1e6 * skewed, dims="x"), "x")
    assert not int(found.quality) & Quality.POOR_FIT


@pytest.mark.parametrize(("width", "counts", "ground"), [(52.0, 70, 0.6), (36.0, 18, 15.0), (24.0, 6, 0.5)])
@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_peaks_so_broad_that_the_line_takes_their_place_are_flagged(shape, width, counts, ground):
    x, rng = np.arange(72.0), np.random.default_rng(32)
    away = (x - 35.2) / width
    curve = np.exp(-4 * np.log(2) * away**2) if shape == "gaussian" else 1 / (1 + 4 * away**2)
    frames = xr.DataArray(rng.poisson(counts * curve + ground, (150, 72)).astype(float), dims=("time", "x"))
    errors = np.sqrt(np.maximum(frames, 1))
    found = xi.fit_profiles(frames, "x", shape=shape, errors=errors, per_count=xr.DataArray(1.0))
    assert float((found.quality == 0).mean()) < 0.1
    clear = xr.DataArray(rng.poisson(400 * counts * curve + ground, (40, 72)).astype(float), dims=("time", "x"))
    found = xi.fit_profiles(clear, "x", shape=shape, errors=np.sqrt(np.maximum(clear, 1)), per_count=xr.DataArray(1.0))
    assert float((found.quality == 0).mean()) > 0.9
    off = (found.fwhm - width) / found.fwhm_errors
    assert abs(float(off.mean())) < 0.8
    assert 0.6 < float(off.std()) < 1.4


@pytest.mark.parametrize(("counts", "ground"), [(150, 2.3), (250, 6.0), (400, 80.0), (700, 50.0)])
@pytest.mark.parametrize("shape", ["lorentzian", "voigt", "pseudo_voigt"])
def test_fits_near_a_limit_are_not_chosen_by_luck(shape, counts, ground):
    x, rng = np.arange(31.0), np.random.default_rng(33)
    away = (x - 15.7) / 6.3
    part = 1.0 if shape == "lorentzian" else 0.4
    curve = part / (1 + 4 * away**2) + (1 - part) * np.exp(-4 * np.log(2) * away**2)
    frames = xr.DataArray(
        rng.poisson(counts * curve / curve.sum() + ground, (500, 31)).astype(float), dims=("time", "x")
    )
    found = xi.fit_profiles(
        frames, "x", shape=shape, errors=np.sqrt(np.maximum(frames, 1)), per_count=xr.DataArray(1.0)
    )
    good = found.where(found.quality == 0, drop=True)
    if len(good.time) > 100:
        stated = float(good.fwhm_errors.median())
        own = float(good.fwhm.std()) / stated
        assert abs(float(good.fwhm.mean()) - 6.3) / stated < 0.25 + 2 * own / len(good.time) ** 0.5
        assert 0.75 < own < 1.2


@pytest.mark.parametrize(("counts", "doubtful"), [(500, True), (5_000, False)])
def test_faint_peaks_of_two_flanks_have_doubtful_errors(counts, doubtful):
    x = np.arange(70)
    shape = np.exp(-4 * np.log(2) * ((x - 32.4) / np.where(x < 32.4, 7.7, 14.3)) ** 2)
    profiles = np.random.default_rng(5).poisson(counts * shape / shape.sum() + 60.0, (40, 70)).astype(float)
    data = xr.DataArray(profiles, dims=("time", "x"), attrs={"units": "counts"})
    found = xi.fit_profiles(data, "x", shape="split_gaussian", errors=data**0.5)
    told = (found.quality & int(Quality.ERRORS_DOUBTFUL | Quality.FIT_FAILED)) > 0
    assert bool(told.all() if doubtful else ~told.any())
