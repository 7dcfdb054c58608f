"""Mean, minimum, standard deviation, second moment, skewness and the brightest pixels, against NumPy and SciPy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.physics.reduction import frame_statistics
from xinsitu.plots.curves import quantities
from xinsitu.schema import FURTHER

ALL = tuple(FURTHER)
NAMES = [name for names in FURTHER.values() for name in names]
BOX = np.s_[:, 4:29, 7:38]
ROI = xi.Roi("a", y=(4, 29), x=(7, 38))


def made(n=11, *, seed=2, counts=3000.0, flat=2.0, dtype="int32"):
    """A spot with a tail, off the middle, on even ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:33, :45].astype(float)
    spot = np.exp(-((y - 15.4) ** 2) / 22 - (x - 19.7) ** 2 / 30) + 0.3 * np.exp(-np.hypot(y - 15, x - 24) / 4)
    frames = rng.poisson(counts * spot / spot.sum() + flat, (n, 33, 45)).astype(dtype)
    return xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"}, coords={"time": np.arange(n)})


def asked(*rois, what=ALL):
    return xi.RoiSet(rois or [ROI]).also(*what)


def moments(profile):
    """Standard deviation and skewness of a histogram."""
    x = np.arange(len(profile))
    centre = np.average(x, weights=profile)
    sigma = np.sqrt(np.average((x - centre) ** 2, weights=profile))
    return sigma, np.average((x - centre) ** 3, weights=profile) / sigma**3


@pytest.fixture(params=["compiled", "NumPy"])
def kernel(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(frame_statistics, "can_do", lambda *_: False)
    return request.param


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float64"])
@pytest.mark.filterwarnings("ignore:the image says that it holds counts")
def test_they_are_those_of_numpy_and_scipy(dtype, kernel):
    image = made(dtype=dtype)
    one = xi.measure(image, asked(what=(*ALL[:3], "brightest:7", *ALL[4:]))).isel(roi=0)
    pixels = image.values[BOX].astype(float)
    flat = pixels.reshape(len(pixels), -1)
    np.testing.assert_allclose(one["mean"], flat.mean(1), rtol=1e-12)
    np.testing.assert_array_equal(one["minimum"], flat.min(1))
    np.testing.assert_allclose(one["std"], flat.std(1), rtol=1e-12)
    np.testing.assert_allclose(one["brightest"], np.sort(flat, axis=1)[:, -7:].mean(1), rtol=1e-12)
    assert int(one.n_brightest) == 7
    for axis, across in (("y", 2), ("x", 1)):
        for frame, profile in enumerate(pixels.sum(across)):
            sigma, skewness = moments(profile)
            assert one[f"sigma_{axis}"].values[frame] == pytest.approx(sigma, rel=1e-12)
            assert one[f"skewness_{axis}"].values[frame] == pytest.approx(skewness, rel=1e-9)
            drawn = np.repeat(np.arange(len(profile)), profile.astype(int))
            assert one[f"skewness_{axis}"].values[frame] == pytest.approx(scipy.stats.skew(drawn), rel=1e-9)
    if dtype != "float64":  # of which nobody knows whether they are counts
        np.testing.assert_allclose(one["mean_errors"], np.sqrt(flat.sum(1)) / flat.shape[1], rtol=1e-12)


def test_behind_every_correction_they_are_those_of_the_corrected_pixels(kernel):
    image = made()
    flat = xr.DataArray(np.random.default_rng(8).uniform(0.8, 1.2, (33, 45)), dims=("y", "x"))
    mask = np.zeros((33, 45), bool)
    mask[15:17, 20], mask[4, 7] = True, True
    correction = xi.Correction(
        median=3, flatfield=flat, mask=mask, background=xi.Background(y=(0, 4), x=(0, 7), mode="subtract")
    )
    one = xi.measure(image, asked(), correction=correction).isel(roi=0)
    pixels = xi.correct(image, correction).values[BOX].astype(float).reshape(11, -1)
    np.testing.assert_allclose(one["minimum"], np.nanmin(pixels, axis=1), rtol=1e-6)
    np.testing.assert_allclose(one["std"], np.nanstd(pixels, axis=1), rtol=1e-6)
    np.testing.assert_allclose(one["mean"], np.nanmean(pixels, axis=1), rtol=1e-6)
    best = np.sort(np.where(np.isfinite(pixels), pixels, -np.inf), axis=1)[:, -10:].mean(1)
    np.testing.assert_allclose(one["brightest"], best, rtol=1e-6)
    assert int(one.n_valid[0]) == 25 * 31 - 3


def test_the_declared_background_is_taken_from_sums_and_not_from_pixels():
    image = made(counts=8000)
    rois = asked(
        xi.Roi("a", y=(4, 29), x=(7, 38), background=("BG",)), xi.Roi("BG", y=(0, 33), x=(40, 45), role="background")
    )
    one = xi.measure(image, rois).sel(roi="a")
    level = image.values[:, :, 40:45].mean(axis=(1, 2))
    pixels = image.values[BOX]
    np.testing.assert_allclose(one["mean"], pixels.mean((1, 2)) - level, rtol=1e-10)
    np.testing.assert_array_equal(one["minimum"], pixels.min((1, 2)))
    sigma, skewness = moments(pixels[3].sum(0) - 25 * level[3])
    assert float(one.sigma_x[3]) == pytest.approx(sigma, rel=1e-9)
    assert float(one.skewness_x[3]) == pytest.approx(skewness, rel=1e-7)


@pytest.mark.parametrize("counts", [20, 200, 2000, 20_000])
@pytest.mark.parametrize("background", [(), ("BG",), ("edge",)])
@pytest.mark.parametrize("correction", [None, xi.Correction(median=3, threshold=5)])
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.thorough("None-background0-200", "None-background2-20000", "correction1-background1-2000")
def test_errors_are_the_scatter_of_repetitions(counts, background, correction):
    image = made(1500, counts=counts, flat=0.1)
    rois = asked(
        xi.Roi("a", y=(0, 33), x=(2, 38), background=background),
        xi.Roi("BG", y=(0, 33), x=(38, 45), role="background"),
        what=("mean", "sigma", "skewness"),
    )
    one = xi.measure(image, rois, correction=correction).sel(roi="a")
    for name in ("mean", "sigma_y", "sigma_x", "skewness_y", "skewness_x"):
        known = np.isfinite(one[name].values)
        if known.mean() < 0.99:  # lost in the noise, and said so
            assert counts < 1000
            assert background
            continue
        stated = np.sqrt(np.mean(one[f"{name}_errors"].values[known] ** 2))
        assert 0.85 < stated / one[name].values[known].std() < 1.2, (name, stated / one[name].values[known].std())


@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_a_moment_that_is_lost_in_noise_is_no_number():
    image = made(300, counts=60, flat=1.0)
    rois = asked(
        xi.Roi("a", y=(0, 33), x=(2, 38), background=("BG",)), xi.Roi("BG", y=(0, 33), x=(38, 45), role="background")
    )
    one = xi.measure(image, rois).sel(roi="a")
    assert np.isnan(one.sigma_x).mean() > 0.5
    assert np.isnan(one.skewness_x.values[np.isnan(one.sigma_x.values)]).all()
    given = np.isfinite(one.sigma_x.values)
    assert (one.sigma_x.values[given] >= 5.99 * one.sigma_x_errors.values[given]).all()


def test_nothing_is_measured_that_is_not_asked():
    image = made(2)
    plain = xi.measure(image, [ROI])
    assert not {*NAMES, "n_brightest"} & set(plain.variables)
    both = xi.measure(image, xi.RoiSet([xi.Roi("a", (4, 29), (7, 38), measure=("std", "sigma")), ROI.moved()][:1]))
    assert {"std", "sigma_y", "sigma_x", "sigma_y_errors"} <= set(both.variables)
    assert not {"mean", "minimum", "brightest", "skewness_x"} & set(both.variables)
    assert np.isnan(both.intensity).all()  # as with any subset
    mixed = xi.measure(image, [ROI, xi.Roi("b", (4, 29), (7, 38), measure=("std",))])
    assert np.isnan(mixed["std"].sel(roi="a")).all()
    for name in plain.data_vars:
        np.testing.assert_array_equal(plain[name].sel(roi="a"), mixed[name].sel(roi="a"), name)


@pytest.mark.thorough("compiled")
def test_lazy_in_any_chunks_gives_the_same_bits(kernel, computes):
    image, rois = made(23), asked(ROI, xi.Roi("m", (2, 12), (3, 20)))
    whole = xi.measure(image, rois)
    with computes(0):
        lazy = xi.measure(image.chunk({"time": 4}), rois)
    xr.testing.assert_identical(lazy.compute().drop_vars("remarks"), whole.drop_vars("remarks"))


@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_lost_frames_and_rois_without_a_pixel_are_nan():
    image = made(3, dtype="float64")
    image.values[1] = np.nan
    one = xi.measure(image, asked()).isel(roi=0)
    for name in NAMES:
        assert np.isnan(one[name].values[1]), name
        assert np.isfinite(one[name].values[[0, 2]]).all(), name


def test_wrong_words_are_refused():
    for wrong in ("kurtosis", "brightest:0", "brightest:x", "std:3"):
        with pytest.raises(xi.RoiError, match="cannot measure"):
            xi.Roi("a", (0, 5), (0, 5), measure=("com", wrong))


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:the factor 4 given")
def test_they_go_through_files_changes_figures_and_commands(experiment, tmp_path, capsys):
    rois = tmp_path / "r.json"
    document = experiment.rois.to_dict()
    document["rois"] = [{**one, "measure": ["intensity", "com", "fwhm", "background", "std", "brightest:4"]}
                        for one in document["rois"]]  # fmt: skip
    rois.write_text(json.dumps({"format": "xinsitu-rois", "version": 1, **document}))
    words = ["measure", str(experiment.folders["time1"]), "--rois", str(rois), "--instrument", "spring8-bl11xu"]
    assert main([*words, "--also", "sigma,mean", "-o", str(tmp_path / "s.nc")]) == 0
    assert "sigma_hk" in capsys.readouterr().out
    series = xi.read_results(tmp_path / "s.nc")
    assert {"std", "brightest", "sigma_x", "mean"} <= set(series.data_vars)
    assert "skewness_x" not in series
    assert series["std"].attrs == {"units": "counts", "long_name": "standard deviation of the pixels"}
    assert series["sigma_x"].attrs["long_name"] == "root of the second moment along l"
    assert (series.n_brightest == 4).all()
    sample = xi.stitch([series])
    time = series.time.values
    changed = xi.correct_attenuation(sample, [xi.AttenuationChange(time[20], time[21], 4.0)])  # its data say 1
    ratio = (changed["std"] / sample["std"]).values[25:]
    np.testing.assert_allclose(ratio, 4.0, rtol=1e-9)
    np.testing.assert_array_equal(changed.sigma_x.values[25:], sample.sigma_x.values[25:])
    assert "sigma_x" in quantities(series)
    assert quantities(series, "sigma_l") == ["sigma_x"]
    assert main(["plot", str(tmp_path / "s.nc"), "-o", str(tmp_path / "s.png")]) == 0
    assert main(["run", str(tmp_path / "s.nc")]) == 0


@pytest.mark.parametrize("edges", ["whole", "exact"])
def test_shapes_have_them_of_their_own_pixels(edges, kernel):
    from xinsitu.values import Ellipse

    image = made()
    ellipse = xi.Roi("e", geometry=Ellipse(centre=(15.2, 19.6), axes=(8.3, 11.1)), edges=edges)
    one = xi.measure(image, asked(ellipse)).isel(roi=0)
    weights = np.asarray(ellipse.weights)
    pixels = image.values[:, slice(*ellipse.y), slice(*ellipse.x)].astype(float)
    inside = pixels[:, weights > 0]
    np.testing.assert_array_equal(one["minimum"], inside.min(1))
    np.testing.assert_allclose(one["brightest"], np.sort(inside, axis=1)[:, -10:].mean(1), rtol=1e-12)
    mean = (pixels * weights).sum((1, 2)) / weights.sum()
    np.testing.assert_allclose(one["mean"], mean, rtol=1e-10)
    spread = np.sqrt((weights * (pixels - mean[:, None, None]) ** 2).sum((1, 2)) / weights.sum())
    np.testing.assert_allclose(one["std"], spread, rtol=1e-10)
    sigma, skewness = moments((pixels * weights)[4].sum(0))
    assert float(one.sigma_x[4]) == pytest.approx(sigma, rel=1e-9)
    assert float(one.skewness_x[4]) == pytest.approx(skewness, rel=1e-7)
