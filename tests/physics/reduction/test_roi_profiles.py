"""Profiles, cuts, widths, smoothing, peaks and the sizes they tell of."""

from __future__ import annotations

import pickle

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.values import Key, KeyFrame


def stack(n=7, seed=0):
    frames = np.random.default_rng(seed).poisson(30, (n, 25, 31)).astype("int32")
    coords = {"y": ("y", np.arange(25), {"long_name": "hk"}), "x": np.arange(31), "frame": ("time", np.arange(n))}
    return xr.DataArray(frames, dims=("time", "y", "x"), coords=coords, attrs={"units": "counts"})


# -- profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("along", ["y", "x"])
def test_profiles_are_sums_over_the_other_axis(along):
    image, roi = stack(), xi.Roi("a", y=(3, 20), x=(5, 30))
    profile = xi.profiles(image, roi, along=along)
    box = image.isel(y=slice(3, 20), x=slice(5, 30))
    np.testing.assert_array_equal(profile, box.sum("x" if along == "y" else "y"))
    np.testing.assert_array_equal(profile[along], box[along])
    assert profile.dims == ("time", along)
    assert profile.attrs["units"] == "counts"
    assert "frame" in profile.coords
    recipe = xi.Correction(median=3, background=xi.Background(y=(0, 3), x=(0, 31), mode="subtract"))
    expected = xi.correct(image, recipe).isel(y=slice(3, 20), x=slice(5, 30)).astype(float)
    lazy = xi.profiles(image.chunk({"time": 2}), roi, along=along, correction=recipe)
    np.testing.assert_allclose(lazy, expected.sum("x" if along == "y" else "y"), rtol=1e-12)


def test_profiles_are_lazy_and_take_off_the_background(computes):
    rois = xi.RoiSet([xi.Roi("a", (3, 20), (5, 25), background=("b",)), xi.Roi("b", (0, 25), (26, 31))])
    with computes(0):
        lazy = xi.profiles(stack().chunk({"time": 3}), rois["a"], along="x", rois=rois)
    level = stack().isel(x=slice(26, 31)).mean(("y", "x"))
    expected = stack().isel(y=slice(3, 20), x=slice(5, 25)).sum("y") - 17 * level
    np.testing.assert_allclose(pickle.loads(pickle.dumps(lazy)), expected, rtol=1e-12)
    series = xi.measure(stack(), rois)
    np.testing.assert_allclose(lazy.sum("x"), series.intensity.sel(roi="a"), rtol=1e-10)
    with pytest.raises(xi.RoiError, match="rois="):
        xi.profiles(stack(), rois["a"])
    with pytest.raises(xi.SchemaError, match="along"):
        xi.profiles(stack(), rois["b"], along="time")


def drifting(n=9):
    """A spot that moves one pixel per frame in both directions, the ROI that follows it, and a background beside."""
    y, x = np.arange(40)[:, None], np.arange(50)
    step = np.arange(n)[:, None, None]
    spot = 500 * np.exp(-((y - 10.4 - step) ** 2) / 18 - (x - 30.2 + step) ** 2 / 24) + 3
    coords = {"y": np.arange(40), "x": np.arange(50), "frame": ("time", np.arange(n) + 7)}
    frames = np.random.default_rng(1).poisson(spot).astype("int32")
    image = xr.DataArray(frames, dims=("time", "y", "x"), coords=coords, attrs={"units": "counts"})
    path = (
        KeyFrame(Key(frame=7), (2, 20), (20, 41)),
        KeyFrame(Key(frame=7 + n - 1), (1 + n, 19 + n), (21 - n, 42 - n)),
    )
    return image, xi.Roi("m", (2, 20), (20, 41), background=("edge",), path=path)


def chunked(image):
    """The same frames, lazy; what is known per frame stays in memory."""
    return image.copy(data=da.from_array(image.values, chunks=(4, -1, -1)))


@pytest.mark.parametrize("along", ["y", "x"])
def test_profiles_follow_a_moving_roi_on_the_detectors_pixels(along, computes):
    image, roi = drifting()
    with computes(0):
        lazy = xi.profiles(chunked(image), roi, along=along)
    found = lazy.compute()
    assert (int(found[along][0]), int(found[along][-1])) == {"y": (2, 27), "x": (12, 40)}[along]
    series = xi.measure(image, [roi]).isel(roi=0)
    for number in range(9):
        low, behind = int(series[f"roi_{along}0"][number]), int(series[f"roi_{along}1"][number])
        row = found.isel(time=number)
        assert row.notnull().sum() == behind - low
        box = xi.Roi(
            "m",
            *((int(series[f"roi_{a}0"][number]), int(series[f"roi_{a}1"][number])) for a in "yx"),
            background=("edge",),
        )
        expected = xi.profiles(image[number : number + 1], box, along=along)[0]
        np.testing.assert_array_equal(row.sel({along: slice(low, behind - 1)}), expected)
    np.testing.assert_allclose(found.sum(along), series.intensity, rtol=1e-12)
    np.testing.assert_allclose(
        found.idxmax(along), {"y": 10.4, "x": 30.2}[along] + np.arange(9) * (1 if along == "y" else -1), atol=2
    )
    peaks = xi.find_peaks(found, along, max_peaks=1, prominence=400)
    np.testing.assert_allclose(peaks.position[:, 0], series[f"com_{along}"], atol=1.0)
    np.testing.assert_array_equal(xi.fwhm(found, along, base=0.0), series[f"fwhm_{along}"])
    fits = xi.fit_profiles(found, along)
    assert int(fits.quality.sum()) == 0
    np.testing.assert_allclose(
        fits.centre, {"y": 10.4, "x": 30.2}[along] + np.arange(9) * (1 if along == "y" else -1), atol=0.3
    )
    assert (fits.n_free == found.notnull().sum(along) - 5).all()


def test_the_accessor_fits_profiles_and_tracks():
    image, roi = drifting(3)
    xr.testing.assert_identical(image.insitu.profiles(roi, along="x"), xi.profiles(image, roi, along="x"))
    xr.testing.assert_identical(
        image.insitu.fit_rois([roi], shape="lorentzian"), xi.fit_rois(image, [roi], shape="lorentzian")
    )
    xr.testing.assert_identical(image.insitu.fit_spots([roi]), xi.fit_spots(image, [roi]))
    still = xi.Roi("m", roi.y, roi.x, background=("edge",))
    assert image.insitu.track(still, max_step=4).roi == xi.track(image, still, max_step=4).roi
    assert "profile_y" in image.insitu.measure([roi], profiles=True)


def test_kymograph_and_waterfall_follow_a_moving_roi():
    image, roi = drifting()
    time = np.datetime64("2014-05-28", "ns") + np.arange(9) * np.timedelta64(1, "s")
    image = image.assign_coords(time=time)
    drawn = xi.plot_kymograph(image, roi, along="y")
    values = drawn.dimension_values("profile", flat=False)
    assert values.shape == (26, 9)
    assert (np.isfinite(values).sum(axis=0) == 18).all()
    curves = xi.waterfall(image, roi, along="y", curves=3, offset=0.0)
    expected = xi.profiles(image, xi.Roi("m", roi.y, roi.x, path=roi.path), along="y")[[0, 4, 8]]
    for curve, row in zip(curves, expected, strict=True):
        np.testing.assert_array_equal(curve.dimension_values(1), row)


def test_unknown_ends_of_profiles_are_no_peaks():
    row = np.array([np.nan, 9.0, 2.0, 1.0, 4.0, np.nan, 6.0, 1.0, np.nan])
    peaks = xi.find_peaks(xr.DataArray(row, dims="x"), "x", max_peaks=3)
    np.testing.assert_allclose(peaks.height, [6.0, np.nan, np.nan])


@pytest.mark.thorough
@pytest.mark.parametrize("lazy", [False, True])
def test_measure_keeps_the_profiles_of_all_rois(lazy, computes, tmp_path):
    image, moving = drifting()
    rois = xi.RoiSet(
        [moving, xi.Roi("a", (3, 20), (5, 25), background=("b",)), xi.Roi("b", (30, 38), (26, 48), role="background")]
    )
    recipe = xi.Correction(median=3, threshold=5)
    with computes(0):
        series = xi.measure(chunked(image) if lazy else image, rois, correction=recipe, profiles=True)
        assert (series.profile_y.chunks is not None) == lazy
    with computes(1 if lazy else 0):
        whole = series.compute()
    plain = xi.measure(image, rois, correction=recipe)
    xr.testing.assert_identical(whole[list(plain.data_vars)], plain)
    for roi in rois:
        for along in "yx":
            own = whole[f"profile_{along}"].sel(roi=roi.name)
            expected = xi.profiles(image, roi, along=along, rois=rois, correction=recipe)
            np.testing.assert_array_equal(own.sel({along: expected[along]}), expected)
            np.testing.assert_allclose(own.sum(along), plain.intensity.sel(roi=roi.name), rtol=1e-9)
            assert own.notnull().sum() == expected.notnull().sum()
            errors = whole[f"profile_{along}_errors"].sel(roi=roi.name)
            assert (errors.notnull() == own.notnull()).all()
    single = whole.profile_x_errors.sel(roi="b").dropna("x")
    np.testing.assert_allclose(single**2, whole.profile_x.sel(roi="b").dropna("x"), rtol=1e-9)
    xi.write_results(series, tmp_path / "profiles.nc")
    back = xi.read_results(tmp_path / "profiles.nc")
    xr.testing.assert_allclose(
        back[["profile_y", "profile_x", "profile_y_errors"]], whole[["profile_y", "profile_x", "profile_y_errors"]]
    )
    assert xi.to_dataframe(back, "wide").shape == xi.to_dataframe(plain, "wide").shape


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:the image says that it holds counts:xinsitu.XinsituWarning")  # of floats
@settings(max_examples=8)
@given(
    cut=st.lists(st.integers(1, 8), max_size=3),
    dtype=st.sampled_from(["uint16", "int32", "float32", "float64"]),
    box=st.tuples(st.integers(0, 12), st.integers(8, 18), st.integers(0, 12), st.integers(8, 18)),
    recipe=st.sampled_from([None, xi.Correction(median=3), xi.Correction(median=3, threshold=5)]),
)
def test_any_chunks_dtype_and_roi_give_the_same_profiles_and_fits(cut, dtype, box, recipe):
    image, moving = drifting()
    image = image.astype(dtype).assign_attrs(units="counts")
    rois = [moving, xi.Roi("a", (box[0], box[0] + box[1]), (box[2], box[2] + box[3]))]
    ends = sorted({*cut, 9})
    chunks = tuple(np.diff([0, *ends]).tolist())
    lazy = image.copy(data=da.from_array(image.values, chunks=(chunks, -1, -1)))
    whole = xi.measure(image, rois, correction=recipe, profiles=True)
    parts = xi.measure(lazy, rois, correction=recipe, profiles=True).compute()
    xr.testing.assert_identical(whole, parts)
    plain = image if recipe is None else xi.correct(image, recipe)
    cutout = plain.isel(y=slice(*rois[1].y), x=slice(*rois[1].x)).astype(float)
    for along, other in (("y", "x"), ("x", "y")):
        own = whole[f"profile_{along}"].sel(roi="a").dropna(along)
        np.testing.assert_allclose(own, cutout.sum(other), rtol=1e-6)
        fits, again = (xi.fit_profiles(data[f"profile_{along}"].sel(roi="m"), along) for data in (whole, parts))
        np.testing.assert_array_equal(fits.centre, again.centre)
    one, other = (xi.fit_rois(data, rois, correction=recipe).compute() for data in (image, lazy))
    good = (one.quality_x == 0) & (
        other.quality_x == 0
    )  # a start from the frame before may help in one and not the other
    assert good.sel(roi="m").all()
    np.testing.assert_allclose(one.centre_x.where(good), other.centre_x.where(good), rtol=1e-7)


@pytest.mark.parametrize("counts", [20, 200, 20_000])
@pytest.mark.parametrize("mode", [None, "subtract", "divide"])
def test_errors_of_single_bins_against_the_truth(counts, mode):
    y, x = np.arange(40)[:, None], np.arange(44)
    shape = np.exp(-0.5 * ((y - 15.3) / 3.0) ** 2 - 0.5 * ((x - 22.6) / 4.0) ** 2)
    mean = counts * shape / shape.sum() + 1.0
    frames = np.random.default_rng(counts).poisson(mean, (1000, 40, 44)).astype("int32")
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    region = None if mode is None else xi.Background(y=(34, 40), x=(0, 44), mode=mode)
    rois = [xi.Roi("s", (2, 30), (2, 42), background=("b",)), xi.Roi("b", (30, 34), (0, 44), role="background")]
    series = xi.measure(image, rois, correction=xi.Correction(background=region), profiles=True).sel(roi="s")
    for along in "yx":
        values, errors = (series[f"profile_{along}{end}"].dropna(along) for end in ("", "_errors"))
        stated, scatter = (errors**2).mean("time") ** 0.5, values.std("time", ddof=1)
        assert abs(float((stated / scatter).mean()) - 1) < 0.05
        assert float(abs(stated / scatter - 1).max()) < 0.15
        if mode != "divide":  # one over a background that was counted is too high by its relative variance
            truth = (mean - 1.0)[2:30, 2:42].sum(axis=0 if along == "x" else 1)
            assert float((abs(values.mean("time") - truth) / (scatter / np.sqrt(1000))).max()) < 4.5


def test_profiles_are_joined_and_scaled_with_their_intensities():
    image, _ = drifting(8)
    time = np.datetime64("2014-05-28", "ns") + np.arange(8) * np.timedelta64(1, "s")
    roi = xi.Roi("a", (3, 30), (5, 45))
    parts = []
    for number, (box, scale) in enumerate(((roi, 1), (xi.Roi("a", (4, 33), (2, 40)), 4))):
        later = (image // scale).assign_coords(
            time=time + number * np.timedelta64(60, "s"), measurement=f"time{number}"
        )
        parts.append(xi.measure(later.assign_attrs(units="counts"), [box], profiles=True))
    with pytest.warns(xi.XinsituWarning, match="different boxes"):
        sample = xi.stitch(parts)
    assert (int(sample.y[0]), int(sample.y[-1])) == (3, 32)
    corrected = xi.correct_attenuation(
        sample, [xi.AttenuationChange(time[-1], time[0] + np.timedelta64(60, "s"), factor=4.0)]
    )
    np.testing.assert_allclose(corrected.profile_y.sum("y"), corrected.intensity, rtol=1e-12)
    np.testing.assert_allclose(xi.undo_attenuation(corrected).profile_x, sample.profile_x)


def test_line_cut_is_that_of_map_coordinates():
    image = stack()
    cut = xi.line_cut(image.chunk({"time": 2}), (2.5, 3.0), (20.25, 27.5), width=3)
    y = 2.5 + cut.distance.values * 17.75 / np.hypot(17.75, 24.5)
    x = 3.0 + cut.distance.values * 24.5 / np.hypot(17.75, 24.5)
    np.testing.assert_allclose(cut.y, y)
    across = np.array([-24.5, 17.75]) / np.hypot(17.75, 24.5)
    for frame, own in zip(image.values.astype(float), cut.values, strict=True):
        lines = [
            scipy.ndimage.map_coordinates(frame, [y + across[0] * s, x + across[1] * s], order=1) for s in (-1, 0, 1)
        ]
        np.testing.assert_allclose(own, np.mean(lines, axis=0), rtol=1e-10)
    with pytest.raises(xi.RoiError, match="leaves the image"):
        xi.line_cut(image, (0, 0), (25, 0))


# -- widths -----------------------------------------------------------------------------------------------------------


def test_width_of_a_gaussian_at_any_level_and_in_units_of_the_axis():
    x = xr.DataArray(np.arange(200) * 0.05, dims="x", attrs={"units": "1/angstrom"})
    profile = xr.DataArray(np.exp(-0.5 * ((x.values - 5.2) / 0.8) ** 2) + 3, dims="x", coords={"x": x})
    assert float(xi.fwhm(profile, "x")) == pytest.approx(0.8 * 2 * np.sqrt(2 * np.log(2)), rel=1e-3)
    assert float(xi.fwhm(profile, "x", level=0.1)) == pytest.approx(0.8 * 2 * np.sqrt(2 * np.log(10)), rel=1e-3)
    assert float(xi.fwhm(profile, "x", smooth=9)) == pytest.approx(0.8 * 2 * np.sqrt(2 * np.log(2)), rel=1e-3)
    assert xi.fwhm(profile, "x").attrs["units"] == "1/angstrom"
    assert np.isnan(xi.fwhm(profile, "x", base=0.0))
    lazy = xi.fwhm(profile.expand_dims(time=4).chunk({"time": 1, "x": 50}), "x", base=3.0)
    assert lazy.chunks is not None
    assert lazy.values == pytest.approx(0.8 * 2.3548, rel=1e-3)


def test_width_is_that_of_measure():
    roi = xi.Roi("a", y=(3, 20), x=(5, 30))
    series = xi.measure(stack(), [roi])
    np.testing.assert_array_equal(xi.fwhm(xi.profiles(stack(), roi, along="x"), "x"), series.fwhm_x.sel(roi="a"))


def test_old_width_by_hand():
    profile = xr.DataArray([0.0, 1.0, 5.0, 9.0, 8.0, 6.0, 1.0, 0.0], dims="x")
    # level 5: crossed between 1 and 3 (touched at 2), left again between 5 and 6; the axis is 8/7 too long
    assert float(xi.old_fwhm(profile, "x")) == pytest.approx((5 - 1) * 8 / 7)
    x = np.arange(60)
    gauss = xr.DataArray(np.exp(-0.5 * ((x - 29.3) / 5) ** 2), dims="x")
    truth = 2 * 5 * np.sqrt(2 * np.log(1.8))
    assert float(xi.old_fwhm(gauss, "x", interpolated=True)) == pytest.approx(truth, abs=59 / 999)
    assert np.isnan(xi.old_fwhm(xr.ones_like(gauss), "x"))


# -- smoothing --------------------------------------------------------------------------------------------------------


@given(window=st.sampled_from([5, 7, 11]), order=st.integers(0, 3), deriv=st.integers(0, 1))
def test_even_steps_give_savitzky_golay(window, order, deriv):
    values = np.random.default_rng(window).normal(size=(40, 3))
    time = np.datetime64("2014-05-28", "ns") + np.arange(40) * np.timedelta64(500, "ms")
    series = xr.DataArray(values, dims=("time", "roi"), coords={"time": time})
    if deriv and order == 0:
        return
    expected = scipy.signal.savgol_filter(values, window, order, deriv=deriv, delta=0.5, axis=0)
    result = xi.derivative(series, window, order=order) if deriv else xi.smooth(series, window, order=order)
    middle = slice(window // 2, -(window // 2))
    np.testing.assert_allclose(result[middle], expected[middle], atol=1e-10)


@given(seed=st.integers(0, 20))
def test_uneven_steps_and_gaps_leave_a_polynomial_as_it_is(seed):
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.choice([0.1, 1.0, 2.5], 30))
    time = np.datetime64("2014-05-28", "ns") + (seconds * 1e9).astype("timedelta64[ns]")
    truth = 3 + 0.4 * seconds - 0.02 * seconds**2
    series = xr.DataArray(truth, dims="time", coords={"time": time}, attrs={"units": "counts"})
    holed = series.copy()
    holed[rng.integers(0, 30, 4)] = np.nan
    for data in (series, holed):
        np.testing.assert_allclose(xi.smooth(data, 9), np.where(np.isnan(data), np.nan, truth), rtol=1e-8)
        slope = xi.derivative(data, 9)
        np.testing.assert_allclose(slope, np.where(np.isnan(data), np.nan, 0.4 - 0.04 * seconds), atol=1e-7)
        assert slope.attrs["units"] == "counts/s"


@pytest.mark.thorough
def test_frames_are_smoothed_lazily(computes):
    image = stack(12)
    with computes(0):
        lazy = xi.derivative(image.chunk({"time": 4}), 5)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy, xi.derivative(image, 5), rtol=1e-10, atol=1e-10)
    expected = scipy.signal.savgol_filter(image.values.astype(float), 5, 2, deriv=1, axis=0)
    np.testing.assert_allclose(lazy[2:-2], expected[2:-2], atol=1e-10)


def test_windows_that_make_no_sense_are_refused():
    for window, order in ((4, 2), (3, 3), (1, 1)):
        with pytest.raises(xi.SchemaError, match="window"):
            xi.smooth(stack(), window, order=order)
    with pytest.raises(xi.SchemaError, match="order 1"):
        xi.derivative(stack(), order=0)
    with pytest.raises(xi.SchemaError, match="lacks 'time'"):
        xi.smooth(stack()[0], 5)


# -- peaks and sizes --------------------------------------------------------------------------------------------------


def test_peaks_are_found_between_bins():
    q = np.linspace(1.0, 3.0, 401)
    places = np.array([[1.3, 1.8, 2.4], [1.31, 1.82, 2.2]])
    rows = [
        sum(h * np.exp(-0.5 * ((q - p) / 0.05) ** 2) for p, h in zip(row, (3, 9, 5), strict=True)) for row in places
    ]
    profile = xr.DataArray(rows, dims=("time", "q"), coords={"q": ("q", q, {"units": "1/angstrom"})})
    peaks = xi.find_peaks(profile, "q", max_peaks=4, prominence=0.5)
    np.testing.assert_allclose(peaks.position[:, :3], places, atol=1e-4)
    assert np.isnan(peaks.position[:, 3]).all()
    np.testing.assert_allclose(peaks.height[:, :3], [[3, 9, 5]] * 2, rtol=5e-3)
    np.testing.assert_allclose(peaks.width[:, :3], 0.05 * 2.3548, rtol=0.01)
    two = xi.find_peaks(profile.chunk({"time": 1}), "q", max_peaks=2)
    np.testing.assert_allclose(two.position, places[:, 1:], atol=1e-4)


def test_fringes_tell_the_height_of_a_wire():
    height = 12.5  # nm
    q = np.linspace(1.2, 1.8, 1201)
    fringes = np.sinc((q - 1.5) * height * 10 / (2 * np.pi)) ** 2 + 1e-9
    profile = xr.DataArray(np.log(fringes), dims="q", coords={"q": ("q", q, {"units": "1/angstrom"})})
    peaks = xi.find_peaks(profile, "q", max_peaks=20, prominence=0.2)
    sides = peaks.where(abs(peaks.position - 1.5) > 0.09)
    left = xi.fringe_size(sides.position.where(sides.position < 1.5).dropna("peak").assign_attrs(peaks.position.attrs))
    assert float(left["size"]) == pytest.approx(height, rel=0.01)
    assert 0 < float(left["size_errors"]) < 0.02 * height
    with pytest.raises(xi.SchemaError, match="calibrate"):
        xi.fringe_size(peaks.position.assign_attrs(units="pixel"))


def test_fringes_that_were_not_found_are_stepped_over():
    position = xr.DataArray(
        [[1.0, 1.1, 1.3, 1.4], [2.0, 2.1, np.nan, np.nan]], dims=("time", "peak"), attrs={"units": "1/angstrom"}
    )
    found = xi.fringe_size(position.chunk({"time": 1}))
    np.testing.assert_allclose(found.spacing, [0.1, 0.1])
    np.testing.assert_allclose(found.spacing_errors, [0.0, np.nan], atol=1e-12)
    assert np.isnan(xi.fringe_size(xr.full_like(position, np.nan))["size"]).all()


@pytest.mark.parametrize("scatter", [0.0005, 0.002])
def test_errors_of_sizes_from_fringes_and_widths_against_the_truth(scatter):
    rng, size = np.random.default_rng(3), 12.0  # nm
    true = 2 * np.pi / (10 * size)
    places = 1.2 + true * np.arange(7) + rng.normal(size=(1000, 7)) * scatter
    places[:, 4] = np.nan
    fringes = xi.fringe_size(xr.DataArray(places, dims=("time", "peak"), attrs={"units": "1/angstrom"}))
    widths = xr.DataArray(0.9 * true + rng.normal(size=1000) * scatter / 4, dims="time", attrs={"units": "1/angstrom"})
    scherrer = xi.scherrer_size(widths, errors=xr.full_like(widths, scatter / 4))
    for found in (fringes, scherrer):
        spread = float(found["size"].std(ddof=1))
        bend = size * (spread / size) ** 2  # of one over what scatters
        assert abs(float(found["size"].mean()) - bend - size) < 4 * spread / np.sqrt(1000)
        assert float((found.size_errors**2).mean() ** 0.5) == pytest.approx(spread, rel=0.15)


def counted_profiles(counts, repeats=1000):
    """Profiles of a spot that was counted, with true centre and width."""
    x = np.arange(60)
    shape = np.exp(-0.5 * ((x - 28.3) / 4) ** 2)
    mean = counts * shape / shape.sum() + counts * 0.002
    return xr.DataArray(np.random.default_rng(counts).poisson(mean, (repeats, 60)).astype(float), dims=("time", "x"))


def test_peaks_of_noisy_profiles_against_the_truth():
    peaks = xi.find_peaks(five_bins(counted_profiles(20_000)), "x", max_peaks=3, prominence=300)
    assert (peaks.position.notnull().sum("peak") == 1).all()
    place = peaks.position[:, 0]
    assert abs(float(place.mean()) - 28.3) < 4 * float(place.std()) / np.sqrt(1000) + 0.01
    assert float(place.std()) < 0.25


def five_bins(profile):
    """Mean over five neighbouring bins."""
    return profile.rolling(x=5, center=True).mean()


def test_scherrer_size_and_its_error():
    width = xr.DataArray([0.05, 0.01], dims="time", attrs={"units": "1/angstrom"})
    errors = xr.full_like(width, 0.001)
    result = xi.scherrer_size(width, errors=errors, instrument=0.03)
    assert float(result["size"][0]) == pytest.approx(0.1 * 2 * np.pi * 0.9 / 0.04)
    assert np.isnan(result["size"][1])
    assert float(result["size_errors"][0] / result["size"][0]) == pytest.approx(0.001 * 0.05 / 0.04 / 0.04)
    assert result["size"].attrs["units"] == "nm"


@pytest.mark.parametrize("along", ["y", "x"])
def test_places_of_a_profile_are_said_as_those_of_the_image(along):
    image = xr.DataArray(np.ones((2, 9, 8), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    roi = xi.Roi("a", (2, 7), (1, 6))
    assert xi.profiles(image, roi, along=along)[along].attrs == {"units": "pixel"}
    named = image.assign_coords({along: (along, np.arange(image.sizes[along]), {"long_name": "hk", "units": "1"})})
    assert xi.profiles(named, roi, along=along)[along].attrs == {"long_name": "hk", "units": "1"}
