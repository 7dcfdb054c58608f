"""What a plain median takes: measured against the truth, flagged, and in the errors of factors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.schema import Quality

from .test_uncertainties import BACKGROUNDS, BOX, SHAPE, repeated, spot

pytestmark = pytest.mark.filterwarnings("ignore:few counts per pixel:xinsitu.XinsituWarning")
PLAIN = xi.Correction(median=3)


def pooled(series):
    """Part by which the median raised the sum of the intensities in the frames that were asked."""
    asked = series.where(np.isfinite(series.median_bias), drop=True)
    return float(asked.intensity.sum() / (asked.intensity / (1 + asked.median_bias)).sum() - 1)


@pytest.mark.parametrize("kind", ["none", "rois", "edge", "plane"])
@pytest.mark.parametrize(("counts", "level"), [(20_000, 0.3), (2_000, 0.3), (20_000, 3.0), (200_000, 3.0), (200, 0.0)])
@pytest.mark.thorough("20000-0.3-rois", "200-0.0-plane", "200000-3.0-edge")
def test_what_a_median_takes_is_what_it_took(kind, counts, level):
    rois, image = BACKGROUNDS[kind][0], repeated(spot(counts, level), repeats=400)
    series = xi.measure(image, rois, correction=PLAIN).sel(roi="spot")
    true = float(series.intensity.mean() / xi.measure(image, rois).sel(roi="spot").intensity.mean()) - 1
    assert np.isfinite(series.median_bias).sum() == 50
    assert pooled(series) == pytest.approx(true, abs=0.01 + 0.03 * abs(true))


def test_hot_pixels_are_no_bias_of_the_median():
    image = repeated(spot(20_000, 3.0), repeats=400)
    clean = pooled(xi.measure(image, [BOX], correction=PLAIN).sel(roi="spot"))
    rng = np.random.default_rng(1)
    for _ in range(3):
        place = (np.arange(400), rng.integers(0, SHAPE[0], 400), rng.integers(0, SHAPE[1], 400))
        image.values[place] += rng.integers(60, 10**5, 400).astype("int32")
    assert pooled(xi.measure(image, [BOX], correction=PLAIN).sel(roi="spot")) == pytest.approx(clean, abs=0.002)


@pytest.mark.parametrize("mode", ["divide", "subtract"])
def test_a_background_of_whole_frames_that_a_median_takes_counts_too(mode):
    region = xi.Background((0, 5), (0, 44), mode=mode)
    image = repeated(spot(5_000, 1.0), repeats=400)
    series = xi.measure(image, [BOX], correction=xi.Correction(median=3, background=region)).sel(roi="spot")
    plain = xi.measure(image, [BOX], correction=xi.Correction(background=region)).sel(roi="spot")
    asked = np.isfinite(series.median_bias)
    true = float(series.intensity.where(asked).mean() / plain.intensity.where(asked).mean()) - 1
    assert abs(true) > 0.03
    assert pooled(series) == pytest.approx(true, abs=0.01)


def test_the_same_frames_are_asked_however_they_are_chunked():
    image = repeated(spot(5_000, 1.0), repeats=40)
    flat = xr.DataArray(np.random.default_rng(0).uniform(0.8, 1.2, SHAPE), dims=("y", "x"))
    recipe = xi.Correction(median=3, flatfield=flat)
    whole = xi.measure(image, [BOX], correction=recipe)
    xr.testing.assert_identical(xi.measure(image.chunk({"time": 7}), [BOX], correction=recipe).compute(), whole)
    assert np.flatnonzero(np.isfinite(whole.median_bias[:, 0])).tolist() == [0, 8, 16, 24, 32]


def test_without_a_plain_median_there_is_none():
    image = repeated(spot(5_000, 1.0), repeats=10)
    for recipe in (None, xi.Correction(median=3, threshold=5)):
        assert "median_bias" not in xi.measure(image, [BOX], correction=recipe)
    assert "median_bias" not in xi.measure(image.assign_attrs(units="1"), [BOX], correction=PLAIN)


def test_what_shows_is_flagged_and_what_does_not_is_not():
    def flagged(counts, level, recipe=PLAIN):
        series = xi.measure(repeated(spot(counts, level), repeats=80), [BOX], correction=recipe)
        return float(((series.quality & Quality.MEDIAN_BIAS) > 0).mean())

    assert flagged(2_000, 0.3) == 1
    assert flagged(200_000, 3.0) == 1  # one per cent of it is several standard errors
    assert flagged(5_000, 100.0) == 0
    assert flagged(2_000, 0.3, xi.Correction(median=3, threshold=5)) == 0


def test_sparse_counts_behind_a_median_have_doubtful_errors():
    for level, recipe, expected in ((0.4, PLAIN, 1), (5.0, PLAIN, 0), (0.4, None, 0)):
        series = xi.measure(repeated(np.full(SHAPE, level), repeats=20), [BOX], correction=recipe)
        assert ((series.quality & Quality.ERRORS_DOUBTFUL) > 0).mean() == expected


@pytest.mark.parametrize(
    ("level", "under", "median", "smooth", "expected"),
    [
        (0.3, ("plane",), 3, None, True),
        (0.3, ("edge",), 3, None, True),
        (4.0, ("edge",), 3, None, False),
        (0.8, ("edge",), 3, None, True),
        (1.5, ("edge",), 3, None, False),
        (0.3, (), 3, None, False),
        (4.0, ("plane",), 3, None, False),
        (0.3, ("plane",), None, None, False),
        (4.0, (), 5, None, True),
        (4.0, (), 3, 5, True),
        (4.0, (), None, 5, False),
    ],
)
def test_where_errors_are_known_not_to_hold_they_are_doubtful(level, under, median, smooth, expected):
    roi = xi.Roi("spot", BOX.y, BOX.x, background=under)
    recipe = None if median is None else xi.Correction(median=median)
    series = xi.measure(repeated(spot(20_000, level), repeats=10), [roi], correction=recipe, smooth=smooth)
    assert (((series.quality & Quality.ERRORS_DOUBTFUL) > 0) == expected).all()


def test_the_warning_says_what_was_measured():
    with pytest.warns(xi.XinsituWarning, match="takes up to 5[01] %"):
        xi.measure(repeated(spot(200, 0.3), repeats=400), [BOX], correction=PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # few counts beside a peak that has nearly all
        rows, columns = np.mgrid[:128, :128]
        wide = 3000 * np.exp(-((rows - 64) ** 2 + (columns - 64) ** 2) / 60)
        frames = np.random.default_rng(0).poisson(wide, (20, 128, 128)).astype("int32")
        image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
        series = xi.measure(image, [xi.Roi("wide", (0, 128), (0, 128))], correction=PLAIN)
    assert abs(pooled(series)) < 0.01


# -- factors ----------------------------------------------------------------------------------------------------------


def attenuated(counts, level, seed, *, factor=8.0, n=70, rois=(BOX,)):
    """Series of a spot on its ground, behind a filter from the middle on, measured through the default median."""
    truth = spot(counts, level)
    time = np.datetime64("2014-05-28", "ns") + np.arange(2 * n) * np.timedelta64(1, "s")
    rng = np.random.default_rng(seed)
    frames = np.concatenate([rng.poisson(truth / by, (n, *SHAPE)) for by in (1.0, factor)]).astype("int32")
    image = xr.DataArray(frames, dims=("time", "y", "x"), coords={"time": time}, attrs={"units": "counts"})
    return xi.measure(image, rois, correction=PLAIN)


@pytest.mark.thorough("end points-2000-4.0")
@pytest.mark.parametrize(("counts", "level"), [(20_000, 2.0), (5_000, 1.0), (2_000, 4.0), (2e5, 0.5)])
@pytest.mark.parametrize("how", ["found", "end points", "window"])
def test_a_factor_is_within_its_error_where_the_ground_is_sparse_behind_the_filter(counts, level, how):
    for seed in range(5):
        series = attenuated(counts, level, seed)
        if how == "found":
            (change,) = xi.find_attenuation_changes(series)
        else:
            given = xi.AttenuationChange(series.time.values[69], series.time.values[70])
            window = 20 if how == "window" else None
            (change,) = xi.attenuation_changes(xi.correct_attenuation(series, [given], window=window))
        assert abs(change.factor - 8) < 3 * change.factor_errors
        without = series.drop_vars("median_bias")
        if how == "found":
            (blind,) = xi.find_attenuation_changes(without)
            assert blind.factor == change.factor
            assert abs(blind.factor - 8) > 2 * blind.factor_errors  # which is why


@pytest.mark.thorough("none")
@pytest.mark.parametrize("kind", ["none", "rois", "edge", "plane"])
def test_factors_of_any_sample_are_within_their_errors(kind):
    """Through the default median; 500 such samples scatter by 1.0 of their errors, all within 3."""
    for seed in range(12):
        rng = np.random.default_rng([seed, len(kind)])
        counts, level, factor = 10 ** rng.uniform([3, -1.3, 0.3], [6, 1.3, 1.5])
        series = attenuated(counts, level, seed, factor=factor, n=int(rng.integers(20, 60)), rois=BACKGROUNDS[kind][0])
        middle = series.sizes["time"] // 2
        given = xi.AttenuationChange(series.time.values[middle - 1], series.time.values[middle])
        (change,) = xi.attenuation_changes(xi.correct_attenuation(series, [given], window=10))
        assert abs(np.log(change.factor / factor)) < 3.5 * change.factor_errors / change.factor


def test_a_median_that_takes_the_same_on_both_sides_costs_little():
    (change,) = xi.find_attenuation_changes(attenuated(2e6, 400.0, 0))
    assert change.factor_errors < 0.005 * change.factor
    assert abs(change.factor - 8) < 3 * change.factor_errors


@pytest.mark.parametrize(("level", "said"), [(0.3, True), (30.0, False)])
def test_what_a_median_took_before_is_said_where_few_counts_are_left(level, said):
    image = xi.correct(repeated(spot(2_000, level), repeats=20), PLAIN)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        xi.measure(image, [BOX])
    assert any("are left by the plain median that the frames went through" in str(one.message) for one in told) == said
