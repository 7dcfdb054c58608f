"""Stated errors against the scatter of 1,000 simulated repetitions, and means against the truth."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import scipy.ndimage
import xarray as xr

import xinsitu as xi
from xinsitu.kernels import true_rate
from xinsitu.schema import Quality

REPEATS = 1000
SHAPE = (44, 48)
CENTRE = (21.3, 24.6)
SIGMA = (3.0, 4.0)
BOX = xi.Roi("spot", y=(6, 38), x=(6, 44))


def spot(counts, level=0.0, slope=0.0):
    """Mean counts per pixel of a Gaussian spot on a background that may be tilted."""
    y, x = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])
    shape = np.exp(-0.5 * ((y - CENTRE[0]) / SIGMA[0]) ** 2 - 0.5 * ((x - CENTRE[1]) / SIGMA[1]) ** 2)
    return counts * shape / shape.sum() + level + slope * (x - 24.5)


def repeated(truth, seed=0, repeats=REPEATS):
    frames = np.random.default_rng(seed).poisson(truth, (repeats, *SHAPE)).astype("int32")
    return xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})


def assert_unbiased(values, truth, sigmas=4.0):
    own = values.std(ddof=1) / np.sqrt(values.size)
    assert abs(values.mean() - truth) < sigmas * own, f"{values.mean()} +- {own}, truth {truth}"


def assert_errors_hold(values, errors, tolerance=0.15):
    scatter, stated = float(values.std(ddof=1)), float(np.sqrt((errors**2).mean()))
    assert abs(stated / scatter - 1) < tolerance, f"stated {stated}, scatter {scatter}"


BACKGROUNDS = {
    "none": ([BOX], 0.0, 0.0),
    "rois": (
        [
            xi.Roi("spot", BOX.y, BOX.x, background=("a", "b")),
            xi.Roi("a", y=(0, 5), x=(0, 48), role="background"),
            xi.Roi("b", y=(39, 44), x=(0, 30), role="background"),
        ],
        0.4,
        0.0,
    ),
    "edge": ([xi.Roi("spot", BOX.y, BOX.x, background=("edge",))], 0.4, 0.0),
    "plane": ([xi.Roi("spot", BOX.y, BOX.x, background=("plane",))], 0.6, 0.01),
}


@pytest.mark.parametrize("counts", [20, 200, 20_000])
@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_sums_and_centres_of_mass(kind, counts):
    rois, level, slope = BACKGROUNDS[kind]
    truth = spot(counts, level, slope)
    series = xi.measure(repeated(truth), rois).sel(roi="spot")
    inside = spot(counts)[6:38, 6:44]
    assert_unbiased(series.intensity, inside.sum())
    assert_errors_hold(series.intensity, series.intensity_errors)
    centre = (inside.sum(1) @ np.arange(6, 38), inside.sum(0) @ np.arange(6, 44)) / inside.sum()
    flagged = (series.quality & Quality.LOW_COUNTS) > 0
    if kind != "none" and counts < 20_000:
        # a quotient of noisy numbers: it has no error bar below a few standard errors, and is flagged or NaN there
        weak = series.intensity < 5 * series.intensity_errors
        assert (flagged | ~weak).all()
    if flagged.mean() > 0.5:
        assert counts <= 200
        return
    for axis, position in zip("yx", centre, strict=True):
        good = series.where(~flagged, drop=True)
        assert_unbiased(good[f"com_{axis}"], position)
        assert_errors_hold(good[f"com_{axis}"], good[f"com_{axis}_errors"])


@pytest.mark.filterwarnings("ignore:few counts per pixel:xinsitu.XinsituWarning")
@pytest.mark.parametrize("recipe", [xi.Correction(median=3), xi.Correction(median=3, threshold=5)], ids=["plain", "5"])
@pytest.mark.parametrize("counts", [20, 200, 1000, 20_000])
@pytest.mark.parametrize("kind", BACKGROUNDS)
@pytest.mark.thorough("none-200-plain", "rois-1000-5", "edge-20-5", "plane-20000-plain")
def test_errors_hold_behind_a_median_or_are_flagged(kind, counts, recipe):
    rois, level, slope = BACKGROUNDS[kind]
    series = xi.measure(repeated(spot(counts, level, slope)), rois, correction=recipe).sel(roi="spot")
    doubtful = (series.quality & (Quality.ERRORS_DOUBTFUL | Quality.MEDIAN_BIAS)) > 0
    weak = (series.quality & Quality.LOW_COUNTS) > 0
    tolerance = 0.3 if kind == "plane" else 0.15  # too large, on ground of less than a count
    for name in ("intensity", "com_y", "com_x"):
        good = series.where(~doubtful if name == "intensity" else ~(doubtful | weak), drop=True)
        if good.sizes["time"] > 0.5 * REPEATS:
            assert_errors_hold(good[name], good[f"{name}_errors"], tolerance)
    if recipe.threshold is None and counts <= 200:
        assert doubtful.all()
    if counts == 20_000:
        assert doubtful.all() if recipe.threshold is None else not doubtful.any()  # it takes several errors


@pytest.mark.parametrize("counts", [20, 200, 20_000, 200_000])
def test_widths(counts):
    rois, level, _ = BACKGROUNDS["rois"]
    series = xi.measure(repeated(spot(counts, level)), rois).sel(roi="spot")
    noisy = (series.quality & Quality.NOISY_PROFILE) > 0
    if counts < 20_000:
        assert noisy.mean() > 0.99
        return
    assert not noisy.any()
    for axis, sigma in zip("yx", SIGMA, strict=True):
        assert_errors_hold(series[f"fwhm_{axis}"], series[f"fwhm_{axis}_errors"])
        assert float(series[f"fwhm_{axis}"].mean()) == pytest.approx(2.3548 * sigma, rel=0.03)


@pytest.mark.parametrize(("how", "tolerance"), [((None, 3), 0.15), ((None, 5), 0.15), ((3, 5), 0.25), ((5, None), 0.3)])
@pytest.mark.parametrize("counts", [5_000, 20_000, 200_000])
@pytest.mark.thorough("5000-how1-0.15", "20000-how3-0.3")
def test_widths_of_smoothed_and_filtered_profiles(how, tolerance, counts):
    rois, *_ = BACKGROUNDS["rois"]
    median, smooth = how
    recipe = xi.Correction(median=median)
    series = xi.measure(repeated(spot(counts, 3.0)), rois, correction=recipe, smooth=smooth).sel(roi="spot")
    for axis in "yx":
        values, errors = series[f"fwhm_{axis}"], series[f"fwhm_{axis}_errors"]
        assert_errors_hold(values, errors, tolerance)
        assert np.sqrt((errors**2).mean()) > 0.85 * values.std()


def test_smoothing_helps_a_noisy_wide_profile():
    rois, level, _ = BACKGROUNDS["rois"]
    image = repeated(spot(2000, level))
    plain, smooth = (xi.measure(image, rois, smooth=bins).sel(roi="spot") for bins in (None, 5))
    truth = 2.3548 * SIGMA[1]
    for series in (plain, smooth):
        assert abs(series.fwhm_x.mean() - truth) < 0.05 * truth
    assert smooth.fwhm_x.std() < 1.1 * plain.fwhm_x.std()


def test_zero_counts_have_no_variance_of_their_own():
    frames = repeated(np.full(SHAPE, 0.05))
    series = xi.measure(frames, [xi.Roi("a", y=(0, 20), x=(0, 20))])
    assert_errors_hold(series.intensity, series.intensity_errors)
    np.testing.assert_allclose(series.intensity_errors**2, series.intensity, rtol=1e-12)


@pytest.mark.parametrize("mode", ["divide", "subtract"])
def test_whole_frame_background(mode):
    truth = spot(20_000, 2.0)
    recipe = xi.Correction(background=xi.Background(y=(0, 5), x=(0, 40), mode=mode))
    series = xi.measure(repeated(truth), [BOX], correction=recipe).sel(roi="spot")
    assert_errors_hold(series.intensity, series.intensity_errors)
    for axis in "yx":
        assert_errors_hold(series[f"com_{axis}"], series[f"com_{axis}_errors"])


def test_flat_field_weighs_the_counts():
    rng = np.random.default_rng(5)
    flat = xr.DataArray(rng.uniform(0.3, 1.7, SHAPE), dims=("y", "x"))
    truth = spot(20_000, 1.0)
    series = xi.measure(repeated(truth * flat.values), [BOX], correction=xi.Correction(flatfield=flat)).sel(roi="spot")
    assert_unbiased(series.intensity, truth[6:38, 6:44].sum())
    assert_errors_hold(series.intensity, series.intensity_errors)
    assert_errors_hold(series.com_x, series.com_x_errors)


@pytest.mark.parametrize("level", [5.0, 50.0, 500.0])
@pytest.mark.parametrize("size", [3, 5])
def test_errors_behind_a_median(level, size):
    series = xi.measure(repeated(np.full(SHAPE, level)), [BOX], correction=xi.Correction(median=size)).sel(roi="spot")
    assert_errors_hold(series.intensity, series.intensity_errors)
    assert_errors_hold(series.com_y, series.com_y_errors)


@pytest.mark.parametrize("counts", [5_000, 20_000, 200_000])
def test_errors_of_a_spot_behind_a_median(counts):
    rois, *_ = BACKGROUNDS["rois"]
    series = xi.measure(repeated(spot(counts, 3.0)), rois, correction=xi.Correction(median=3)).sel(roi="spot")
    assert_errors_hold(series.intensity, series.intensity_errors)
    assert_errors_hold(series.com_y, series.com_y_errors)
    assert_errors_hold(series.com_x, series.com_x_errors)
    assert_errors_hold(series.fwhm_x, series.fwhm_x_errors)
    assert_errors_hold(series.fwhm_y, series.fwhm_y_errors)


def test_monitor_brings_its_own_counting_error():
    rng = np.random.default_rng(7)
    beam = np.linspace(1.0, 0.5, REPEATS)
    image = repeated(beam[:, None, None] * spot(20_000, 0.5)[None])
    monitor = xr.DataArray(rng.poisson(5000 * beam).astype(float), dims="time", attrs={"units": "counts"})
    scan = image.assign_coords(monitor=monitor)
    series = xi.measure(scan, [BOX], correction=xi.Correction(normalise=("monitor", 5000.0))).sel(roi="spot")
    truth = spot(20_000, 0.5)[6:38, 6:44].sum()
    assert float(series.intensity.mean()) == pytest.approx(truth, rel=0.002)
    pull = (series.intensity - truth) / series.intensity_errors
    assert 0.85 < float(pull.std()) < 1.15
    assert series.intensity.attrs["units"] == "counts"


# -- despiking --------------------------------------------------------------------------------------------------------


def test_a_plain_median_removes_sparse_counts_and_says_so():
    image = repeated(np.full(SHAPE, 0.3), repeats=50)
    with pytest.warns(xi.XinsituWarning, match=r"spot 0\.[23].*takes up to 8\d %.*threshold"):
        plain = xi.measure(image, [BOX], correction=xi.Correction(median=3)).intensity.mean()
    kept = xi.measure(image, [BOX], correction=xi.Correction(median=3, threshold=5)).intensity.mean()
    counted = xi.measure(image, [BOX]).intensity.mean()
    assert float(plain) < 0.25 * float(counted)
    assert float(kept) == pytest.approx(float(counted), rel=1e-3)


@pytest.mark.parametrize("level", [0.3, 3.0, 300.0])
def test_despiking_replaces_hot_pixels_and_nothing_else(level):
    image = repeated(spot(3e5, level), repeats=20)
    hot = image.copy()
    places = [(3, 4), (3, 5), (20, 30), (43, 47), (0, 0)]
    for row, column in places:
        hot[:, row, column] = 10**6
    cleaned = xi.median(hot, 3, threshold=6)
    marked = np.zeros(SHAPE, bool)
    marked[tuple(np.transpose(places))] = True
    assert cleaned.where(marked).max() < 10**5
    changed = (cleaned != image).values & ~marked
    assert changed.mean() < 1e-5


def test_despiking_leaves_no_bias_in_a_sharp_spot():
    y, x = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])
    sharp = 1e5 * np.exp(-0.5 * ((y - 20.4) ** 2 + (x - 24.7) ** 2) / 1.2**2)
    image = repeated(sharp, repeats=20)
    np.testing.assert_array_equal(xi.median(image, 3, threshold=6), image)
    assert float(xi.median(image, 3).sum() / image.sum()) < 0.9


@pytest.mark.parametrize("counts", [1300, 8000, 30_000])
@pytest.mark.parametrize("widths", [(2.1, 2.1), (3.0, 3.0), (4.5, 4.0), (15.0, 2.1), (15.0, 3.0)])
def test_despiking_takes_no_counts_from_narrow_spots_wherever_they_lie(widths, counts):
    pixel = (np.arange(31)[:, None] + (np.arange(15) - 7) / 15) - 15
    for place in ((0.0, 0.0), (0.1, -0.1), (0.45, 0.2), (0.02, 0.48)):
        along = (
            np.exp(-4 * np.log(2) * ((pixel - shift) / width) ** 2).mean(1)
            for shift, width in zip(place, widths, strict=True)
        )
        truth = np.outer(*along)
        frames = np.random.default_rng(5).poisson(counts * truth / truth.sum() + 0.5, (60, 31, 31)).astype("int32")
        image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
        lost = float((image - xi.median(image, 3, threshold=5)).sum(("y", "x")).mean())
        assert lost < 0.25 * frames.sum((1, 2)).mean() ** 0.5, place


# -- count rate and flags ---------------------------------------------------------------------------------------------


def test_count_rate_is_that_before_dead_time():
    tau, exposure, rate = 2e-7, 0.5, np.array([1e3, 1e5, 1e6])
    measured = rate * np.exp(-rate * tau) * exposure
    image = xr.DataArray(np.round(measured)[:, None, None].astype("int32"), dims=("time", "y", "x"))
    image = image.assign_coords(exposure_time=exposure).assign_attrs(units="counts")
    result = xi.correct(image, xi.Correction(count_rate=tau))
    np.testing.assert_allclose(result.values.ravel(), rate * exposure, rtol=1e-3)
    series = xi.measure(image, [xi.Roi("a", (0, 1), (0, 1))], correction=xi.Correction(count_rate=tau))
    np.testing.assert_array_equal(series.intensity.values.ravel(), result.values.ravel())
    assert ((series.quality.values.ravel() & Quality.COUNT_RATE_HIGH) > 0).tolist() == [False, False, True]


def test_count_rate_is_refused_where_the_detector_did_it():
    image = repeated(spot(200), repeats=2).assign_coords(exposure_time=1.0).assign_attrs(tau=2e-7)
    with pytest.raises(xi.CorrectionError, match="tau"):
        xi.correct(image, xi.Correction(count_rate=2e-7))
    image = image.assign_attrs(tau=0.0, detector="PILATUS3 1M", count_cutoff=1080457)
    with pytest.raises(xi.CorrectionError, match="1080457 is beyond a counter of 20 bits"):
        xi.correct(image, xi.Correction(count_rate=2e-7))
    xi.correct(image.assign_attrs(count_cutoff=1048500), xi.Correction(count_rate=2e-7))


def test_count_rate_comes_before_the_median_and_the_flat_field():
    rng, tau = np.random.default_rng(4), 2e-7
    frames = rng.integers(0, 200_000, (3, 12, 14)).astype("int32")
    exposure = np.array([0.2, 0.5, 1.0])
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    image = image.assign_coords(exposure_time=("time", exposure))
    flat = rng.uniform(0.8, 1.2, (12, 14))
    recipe = xi.Correction(median=3, flatfield=xr.DataArray(flat, dims=("y", "x")), count_rate=tau)
    counts = true_rate(frames / exposure[:, None, None], tau) * exposure[:, None, None]
    expected = scipy.ndimage.median_filter(counts, size=(1, 3, 3), mode="reflect") / flat
    np.testing.assert_allclose(xi.correct(image, recipe), expected, rtol=1e-6)


def test_the_correction_finds_the_photons_of_a_simulated_counter():
    """Photons arrive at random; counted are those that come later than the dead time after the one before."""
    rng, tau, exposure, photons = np.random.default_rng(3), 2e-7, 1e-3, [100, 250, 1000]
    counted = []
    for mean in photons:
        gaps = rng.exponential(exposure / mean, (REPEATS, 2 * mean))
        arrived = gaps.cumsum(axis=1) < exposure
        counted.append(((gaps > tau) & arrived).sum(axis=1))
    frames = np.array(counted).T[:, None, :].astype("int32")
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"}).assign_coords(
        exposure_time=exposure
    )
    rois = [xi.Roi(f"{mean}", (0, 1), (column, column + 1)) for column, mean in enumerate(photons)]
    series = xi.measure(image, rois, correction=xi.Correction(count_rate=tau))
    for mean in photons:
        own = series.sel(roi=f"{mean}")
        assert_unbiased(own.intensity, mean)
        assert_errors_hold(own.intensity, own.intensity_errors)
    fast = (series.quality & Quality.COUNT_RATE_HIGH) > 0
    assert fast.mean("time").values.round().tolist() == [0, 1, 1]


def test_a_count_rate_is_high_where_its_correction_is_above_5_per_cent():
    tau, rates = 2e-7, np.log1p([0.04, 0.0499, 0.0501, 0.3]) / 2e-7
    measured = xr.DataArray(
        (rates * np.exp(-rates * tau)).round().astype("int64")[:, None, None], dims=("time", "y", "x")
    )
    for frames, recipe in (
        (measured.assign_attrs(units="counts"), xi.Correction(count_rate=tau)),
        (measured.copy(data=rates.round().astype("int64")[:, None, None]).assign_attrs(units="counts", tau=tau), None),
    ):
        series = xi.measure(frames.assign_coords(exposure_time=1.0), [xi.Roi("a", (0, 1), (0, 1))], correction=recipe)
        flagged = (series.quality.values.ravel() & Quality.COUNT_RATE_HIGH) > 0
        assert flagged.tolist() == [False, False, True, True]


def test_the_brightest_pixel_of_the_reflectivity_needs_7_per_cent(shared_data):
    with (shared_data / "i07" / "roi1_by_the_beamline.csv").open() as file:
        brightest = max(csv.DictReader(file), key=lambda row: float(row["gda_max"]))
    scan = xi.open_measurement(shared_data / "i07" / "refl" / brightest["scan"], tz="Europe/London", logs=None)
    y, x, high, wide = (int(brightest[f"roi_{key}"]) for key in "yxhw")
    roi = xi.Roi("roi1", (y, y + high), (x, x + wide))
    series = xi.measure(scan, [roi]).compute().sel(roi="roi1")
    needs = np.expm1(series.maximum.values * scan.attrs["tau"] / scan.exposure_time.values)
    assert needs.max() == pytest.approx(0.07, abs=0.01)
    assert (((series.quality.values & Quality.COUNT_RATE_HIGH) > 0) == (needs > 0.05)).all()


@pytest.mark.parametrize(
    ("tau", "exposure", "cutoff"),
    [(199.1e-9, 1.0, 1380198), (199.1e-9, 60.0, 1052242), (124e-9, 10.0, 1062480), (124e-9, 3.0, 1097223)],
)
def test_cut_offs_in_headers_are_full_counters_corrected(tau, exposure, cutoff):
    """As camserver wrote them at Diamond, CHESS and APS: 20 bits, by the same formula."""
    full = np.array([2.0**20])
    assert exposure * true_rate(full / exposure, tau)[0] == pytest.approx(cutoff, rel=1e-5)


def test_frames_without_beam_are_flagged():
    image = repeated(spot(2000, 0.1), repeats=20)
    image[4:6] = 0
    flags = xi.measure(image.chunk({"time": 7}), [BOX]).quality.values.ravel()
    assert np.flatnonzero(flags & Quality.NO_BEAM).tolist() == [4, 5]


def test_missing_monitor_gives_nan_and_a_warning_never_one():
    image = repeated(spot(2000), repeats=5).assign_coords(monitor=("time", [1.0, 0.0, 2.0, np.nan, 4.0]))
    with pytest.warns(xi.XinsituWarning, match="monitor is zero, negative or missing in 2 of 5"):
        series = xi.measure(image, [BOX], correction=xi.Correction(normalise=("monitor", 1.0)))
    assert np.isnan(series.intensity.values.ravel()).tolist() == [False, True, False, True, False]
    plain = xi.measure(image, [BOX])
    np.testing.assert_allclose(series.intensity[4] * 4, plain.intensity[4], rtol=1e-6)
    with pytest.raises(xi.SchemaError, match="no 'bpm'"):
        xi.measure(image, [BOX], correction=xi.Correction(normalise="bpm"))


def test_measurements_normalised_by_their_own_mean_are_joined_at_one_reference():
    time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    parts = []
    for number, beam in enumerate((1000.0, 500.0)):
        image = (repeated(spot(20_000), repeats=4) * int(beam / 500)).assign_attrs(units="counts")
        image = image.assign_coords(time=time + np.timedelta64(number, "h"), measurement=f"time{number}")
        image = image.assign_coords(monitor=("time", beam * np.array([0.9, 1.0, 1.0, 1.1])))
        parts.append(xi.measure(image, [BOX], correction=xi.Correction(normalise="monitor")))
    sample = xi.stitch(parts)
    expected = repeated(spot(20_000), repeats=4)[:, 6:38, 6:44].sum(("y", "x")).values / [0.9, 1.0, 1.0, 1.1]
    np.testing.assert_allclose(sample.intensity.values.ravel(), np.tile(2 * expected, 2), rtol=1e-6)
    plain = xi.measure(image, [BOX])
    with pytest.raises(xi.StitchError, match="normalised by a monitor and some are not"):
        xi.stitch([parts[0], plain])


def test_a_monitor_behind_the_attenuator_warns():
    monitor = xr.DataArray([1.0, 2.0], dims="time", attrs={"position": "after_attenuator"})
    image = repeated(spot(2000), repeats=2).assign_coords(monitor=monitor)
    with pytest.warns(xi.XinsituWarning, match="behind the attenuator"):
        xi.measure(image, [BOX], correction=xi.Correction(normalise="monitor"))


def test_a_flat_field_on_top_of_the_detectors_own_warns():
    image = repeated(spot(2000), repeats=2).to_dataset(name="image").assign_attrs(flat_field="FF_p1k103.tif")
    flat = xr.DataArray(np.ones(SHAPE), dims=("y", "x"))
    with pytest.warns(xi.XinsituWarning, match="FF_p1k103"):
        xi.correct(image, xi.Correction(flatfield=flat))


# -- backgrounds of a ROI ---------------------------------------------------------------------------------------------


def test_pooled_background_is_scaled_by_area():
    frames = np.full((1, *SHAPE), 3, "int32")
    frames[:, 0:4, 0:10] = 5
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    rois = [
        xi.Roi("s", (10, 20), (10, 20), background=("a", "b")),
        xi.Roi("a", (0, 4), (0, 10)),
        xi.Roi("b", (30, 40), (0, 12)),
    ]
    own = xi.measure(image, rois).sel(roi="s").isel(time=0)
    level = (40 * 5 + 120 * 3) / 160
    assert own.background == pytest.approx(100 * level, rel=1e-12)
    assert own.intensity == pytest.approx(300 - 100 * level, rel=1e-12)
    assert own.background_errors == pytest.approx(100 * np.sqrt(560) / 160, rel=1e-12)
    assert own.intensity_errors == pytest.approx(np.sqrt(300 + 100**2 * 560 / 160**2), rel=1e-12)


def test_a_plane_is_taken_away_exactly_also_where_pixels_are_masked():
    y, x = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])
    frames = (1000 + 3 * y + 7 * x)[None].astype("int32")
    frames[0, 7, 9], frames[0, 20, 20], frames[0, 6, 6:12] = -1, -2, -1
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    own = xi.measure(image, [xi.Roi("s", BOX.y, BOX.x, background=("plane",))]).isel(time=0, roi=0)
    assert float(own.intensity) == pytest.approx(0, abs=1e-6)
    assert float(own.background) == pytest.approx(frames[0, 6:38, 6:44][frames[0, 6:38, 6:44] >= 0].sum(), rel=1e-12)


def test_edge_and_other_rois_together_are_refused():
    rois = [xi.Roi("s", (10, 20), (10, 20), background=("edge", "a")), xi.Roi("a", (0, 4), (0, 10))]
    with pytest.raises(xi.RoiError, match="either 'edge' or other ROIs"):
        xi.measure(repeated(spot(200), repeats=1), rois)


def test_the_error_of_a_background_below_zero_is_unknown_and_silent():
    """Floating-point frames may hold less than nothing where there is no beam: no counting error follows from that."""
    from xinsitu.variables import Counted, as_frames

    values = np.random.default_rng(4).poisson(30.0, (6, 20, 24)).astype("float64")
    values[2, :5, :8] = -1.5
    frames = as_frames(xr.DataArray(values, dims=("time", "y", "x"), attrs={"units": "counts"}), Counted)
    recipe = xi.Correction(background=xi.Background(y=(0, 5), x=(0, 8), mode="subtract"))
    series = xi.measure(frames, [xi.Roi("a", (6, 18), (4, 20))], correction=recipe)
    assert np.isnan(series.level_errors.values).tolist() == [False, False, True, False, False, False]
    assert np.isnan(series.intensity_errors.values[:, 0]).tolist() == [False, False, True, False, False, False]
