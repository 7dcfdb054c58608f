"""Darks and background images against formulas of NumPy and SciPy, and errors against the scatter of repetitions."""

from __future__ import annotations

import json

import dask
import numpy as np
import pytest
import scipy.ndimage
import xarray as xr

import xinsitu as xi

ROWS, COLUMNS = 21, 27
EXPOSURE = 3.0


def image_of(values, **attrs):
    return xr.DataArray(values, dims=("y", "x"), attrs=attrs)


def made(n=9, *, seed=4, dtype="int32", level=60.0):
    """Frames with a dark that has hot pixels, a sloping background and a spot off the middle; and the truth."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    dark = np.random.default_rng(77).uniform(3, 8, (ROWS, COLUMNS))
    dark[4, 5], dark[15, 20] = 700, 45  # per second
    behind = 4 + 0.7 * x + 0.2 * y
    spot = level * np.exp(-((y - 9.4) ** 2) / 18 - (x - 14.2) ** 2 / 11)
    frames = rng.poisson(EXPOSURE * (dark + behind) + spot, (n, ROWS, COLUMNS)).astype(dtype)
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts", "count_cutoff": 5000})
    scan = xr.Dataset({"image": image}, {"exposure_time": EXPOSURE, "time": np.arange(n)})
    return scan, dark, behind, spot


def test_they_are_scaled_by_exposure_and_go_before_the_median_and_the_flat_field():
    scan, dark, behind, _ = made()
    flat = image_of(np.random.default_rng(1).uniform(0.7, 1.3, (ROWS, COLUMNS)))
    recipe = xi.Correction(
        dark=image_of(dark, exposure_time=1.0),
        background_image=image_of(behind * 2, exposure_time=2.0, corrections="dark"),
        median=3,
        flatfield=flat,
        background=xi.Background(y=(0, 4), x=(0, 6), mode="subtract"),
    )
    assert recipe.applied == ("dark", "background_image", "median", "flatfield", "background")
    net = scan.image.values - EXPOSURE * (dark + behind)
    filtered = scipy.ndimage.median_filter(net, size=(1, 3, 3), mode="reflect") / flat.values
    expected = filtered - filtered[:, 0:4, 0:6].mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(xi.correct(scan, recipe).image, expected, rtol=1e-5, atol=2e-4)


def test_each_frame_has_its_own_exposure():
    scan, dark, _, _ = made(4)
    times = np.array([1.0, 2.0, 3.0, np.nan])
    scan = scan.assign_coords(exposure_time=("time", times))
    with pytest.warns(xi.XinsituWarning, match="as it is"):
        result = xi.correct(scan, xi.Correction(dark=image_of(dark, exposure_time=2.0)))
    scale = np.array([0.5, 1.0, 1.5, 1.0])[:, None, None]
    np.testing.assert_allclose(result.image, scan.image.values - scale * dark, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", ["exposure_time", "n_frames"])
def test_what_an_image_says_as_nothing_is_not_known(name):
    scan, dark, behind, _ = made(2)
    one, plain = image_of(dark, **{name: None}), image_of(dark)
    other = image_of(behind, exposure_time=2.0)
    for images in ({}, {"background_image": other}):
        found, expected = (xi.Correction(dark=image, **images) for image in (one, plain))
        assert found == expected
        np.testing.assert_array_equal(xi.correct(scan, found).image, xi.correct(scan, expected).image)
    with pytest.raises(xi.CorrectionError, match="give a number above 0"):
        xi.Correction(dark=image_of(dark, **{name: np.inf}))


@pytest.mark.parametrize("said", [{}, {"exposure_time": 7.0}])
def test_frames_without_exposure_have_it_taken_as_it_is(said):
    scan, dark, _, _ = made(2)
    plain = scan.drop_vars("exposure_time").image
    correction = xi.Correction(dark=image_of(dark, **said))
    if said:
        with pytest.warns(xi.XinsituWarning, match="not all frames do"):
            result = xi.correct(plain, correction)
    else:
        result = xi.correct(plain, correction)
    np.testing.assert_allclose(result, plain.values - dark, rtol=1e-6, atol=1e-4)


def test_the_dark_is_taken_from_the_background_image_too_and_never_twice():
    scan, dark, behind, _ = made()
    with_dark = image_of(5.0 * (dark + behind), exposure_time=5.0, n_frames=10)
    one = image_of(2.0 * dark, exposure_time=2.0, n_frames=4)
    both = xi.correct(scan, xi.Correction(dark=one, background_image=with_dark)).image
    np.testing.assert_allclose(both, scan.image.values - EXPOSURE * (dark + behind), rtol=1e-6, atol=1e-3)
    done = image_of(5.0 * behind, exposure_time=5.0, corrections="dark")
    np.testing.assert_allclose(
        xi.correct(scan, xi.Correction(dark=one, background_image=done)).image, both, rtol=1e-6, atol=1e-3
    )
    counts = {name: np.full((ROWS, COLUMNS), value) for name, value in (("dark", 3.0), ("background_image", 10.0))}
    plain = {name: image_of(values) for name, values in counts.items()}  # exposures unknown: each as it is
    np.testing.assert_allclose(xi.correct(scan, xi.Correction(**plain)).image, scan.image.values - 10.0, rtol=1e-6)


def test_hot_pixels_of_the_dark_are_gone_and_no_noise_is_taken_for_outliers():
    """What the detector adds has noise: pixels that it adds much to scatter more, and are no outliers for that."""
    scan, dark, behind, spot = made(60)
    images = {"dark": image_of(dark, exposure_time=1.0), "background_image": image_of(
        behind, exposure_time=1.0, corrections="dark")}  # fmt: skip
    result = xi.correct(scan, xi.Correction(median=3, threshold=5, **images)).image.values
    net = scan.image.values - EXPOSURE * (dark + behind)
    replaced = np.abs(result - net) > 1e-3
    assert replaced.mean() < 1e-3
    assert abs(result[:, 4, 5].mean() - spot[4, 5]) < 5 * np.sqrt(EXPOSURE * 710 / 60)
    scan.image.values[3, 12, 3] = 4000  # a cosmic
    assert xi.correct(scan, xi.Correction(median=3, threshold=5, **images)).image.values[3, 12, 3] < 200


@pytest.mark.parametrize("dtype", ["uint16", "int32", "uint32", "float32"])
def test_nothing_wraps_below_zero(dtype):
    scan, dark, _, _ = made(3, dtype=dtype)
    result = xi.correct(scan, xi.Correction(dark=image_of(dark * 10))).image
    np.testing.assert_allclose(result, scan.image.values.astype(float) - dark * 10, rtol=1e-5, atol=1e-3)
    assert float(result.min()) < 0
    assert result.dtype == np.float32


@pytest.mark.thorough
@pytest.mark.parametrize("median", [{}, {"median": 3, "threshold": 5.0}, {"median": 3}])
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_errors_hold_what_dark_and_background_counted_and_their_own_noise(median):
    """The images are drawn anew for each repetition: their noise is in the scatter, too."""
    rois = [
        xi.Roi("spot", y=(2, 19), x=(5, 25)),
        xi.Roi("net", y=(2, 19), x=(5, 25), background=("BG",)),
        xi.Roi("BG", y=(0, 21), x=(0, 4), role="background"),
    ]
    found = []
    for seed in range(300):
        scan, dark, behind, _ = made(1, seed=seed, level=300.0)
        rng = np.random.default_rng(seed + 10_000)
        of_dark, of_behind = rng.poisson(dark, (3, ROWS, COLUMNS)), rng.poisson(behind * 2, (2, ROWS, COLUMNS))
        correction = xi.Correction(
            dark=image_of(of_dark.mean(0), exposure_time=1.0, n_frames=3),
            background_image=image_of(of_behind.mean(0), exposure_time=2.0, n_frames=2, corrections="dark"),
            **median,
        )
        found.append(xi.measure(scan, rois, correction=correction).isel(time=0, drop=True))
    series = xr.concat(found, "seed", coords="minimal", compat="override", join="override")
    for roi, names in {"spot": ("intensity", "com_y", "com_x"), "net": ("intensity", "com_y", "com_x")}.items():
        for name in names:
            one = series.sel(roi=roi)
            stated = float(np.sqrt((one[f"{name}_errors"] ** 2).mean()))
            assert 0.83 < stated / float(one[name].std()) < 1.2, (roi, name, stated / float(one[name].std()))


def test_the_error_is_the_formula():
    scan, dark, behind, _ = made(5)
    flat = np.random.default_rng(3).uniform(0.8, 1.2, (ROWS, COLUMNS))
    one = image_of(dark * 2, exposure_time=2.0, n_frames=6)
    other = image_of(behind * 4, exposure_time=4.0, n_frames=5, corrections="dark")
    correction = xi.Correction(dark=one, background_image=other, flatfield=image_of(flat))
    series = xi.measure(scan, [xi.Roi("a", y=(1, 20), x=(3, 24))], correction=correction)
    box = np.s_[:, 1:20, 3:24]
    raw = scan.image.values.astype(float)
    variance = raw + (EXPOSURE / 2) ** 2 * (dark * 2) / 6 + (EXPOSURE / 4) ** 2 * (behind * 4) / 5
    expected = np.sqrt((variance / flat**2)[box].sum(axis=(1, 2)))
    np.testing.assert_allclose(series.intensity_errors[:, 0], expected, rtol=1e-4)
    net = ((raw - EXPOSURE * (dark + behind)) / flat)[box]
    np.testing.assert_allclose(series.intensity[:, 0], net.sum(axis=(1, 2)), rtol=1e-5)
    top = net.reshape(5, -1).argmax(axis=1)
    at_top = np.sqrt((variance / flat**2)[box].reshape(5, -1)[np.arange(5), top])
    clear = np.isfinite(series.maximum_errors.values[:, 0])
    np.testing.assert_allclose(series.maximum_errors.values[clear, 0], at_top[clear], rtol=1e-4)
    np.testing.assert_allclose(series.maximum[:, 0], net.reshape(5, -1).max(axis=1), rtol=1e-5)


def test_saturation_is_that_of_raw_pixels():
    scan, dark, _, _ = made(2)
    scan.image.values[0, 8, 8] = 5000
    scan.image.values[1, 8, 8] = 4999
    series = xi.measure(scan, [xi.Roi("a", y=(1, 20), x=(3, 24))], correction=xi.Correction(dark=image_of(dark * 100)))
    assert series.n_saturated.values[:, 0].tolist() == [1, 0]


def test_a_pixel_that_the_image_does_not_know_is_masked():
    scan, dark, _, _ = made(2)
    dark[10, 12] = np.nan
    series = xi.measure(scan, [xi.Roi("a", y=(9, 14), x=(10, 16))], correction=xi.Correction(dark=image_of(dark)))
    assert series.n_valid.values.tolist() == [[29], [29]]
    assert np.isnan(xi.correct(scan, xi.Correction(dark=image_of(dark))).image.values[:, 10, 12]).all()


@pytest.mark.parametrize("median", [{}, {"median": 3, "threshold": 5.0}, {"median": 3}])
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_lazy_in_any_chunks_cropped_or_whole_gives_the_same_bits(median, computes):
    scan, dark, behind, _ = made(23)
    scan = scan.assign_coords(exposure_time=("time", np.linspace(1, 3, 23)))
    recipe = xi.Correction(
        dark=image_of(dark, exposure_time=1.0, n_frames=3),
        background_image=image_of(behind, exposure_time=2.0, n_frames=2),
        **median,
    )
    rois = [xi.Roi("a", y=(3, 17), x=(6, 20)), xi.Roi("b", y=(0, 9), x=(1, 8), background=("edge",))]
    whole = xi.measure(scan, rois, correction=recipe)
    with computes(0):
        lazy = xi.measure(scan.assign(image=scan.image.chunk({"time": 5})), rois, correction=recipe)
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(lazy.compute().drop_vars("remarks"), whole.drop_vars("remarks"))
    of_corrected = xi.measure(xi.correct(scan, recipe), rois)
    for name in ("intensity", "com_y", "com_x", "fwhm_x", "maximum"):
        np.testing.assert_array_equal(of_corrected[name], whole[name])
    assert np.isnan(of_corrected.intensity_errors).all()  # what was subtracted is no more known
    part = scan.isel(y=slice(2, 19), x=slice(1, 22)).assign_coords(y=np.arange(2, 19), x=np.arange(1, 22))
    quick = xi.measure(part, [xi.Roi("a", y=(3, 17), x=(6, 20))], correction=recipe)
    np.testing.assert_array_equal(quick.intensity[:, 0], whole.intensity[:, 0])


def test_twice_and_another_shape_are_refused():
    scan, dark, _, _ = made(2)
    once = xi.correct(scan, xi.Correction(dark=image_of(dark)))
    with pytest.raises(xi.CorrectionError, match="dark: done to these frames already"):
        xi.correct(once, xi.Correction(dark=image_of(dark)))
    with pytest.raises(xi.CorrectionError, match="dark has 20 x 27 pixels and the frames have 21 x 27"):
        xi.correct(scan, xi.Correction(dark=image_of(dark[1:])))
    with pytest.raises(xi.CorrectionError, match=r"background_image must be an array .*open_image"):
        xi.Correction(background_image="empty/")


def test_the_recipe_is_known_by_what_the_images_do():
    _, dark, _, _ = made(1)
    one = xi.Correction(dark=image_of(dark, exposure_time=1.0))
    assert one == xi.Correction(dark=image_of(dark, exposure_time=1.0, source="elsewhere"))
    assert one != xi.Correction(dark=image_of(dark, exposure_time=2.0))
    assert one != xi.Correction(background_image=image_of(dark, exposure_time=1.0))
    assert "dark" not in json.loads(xi.Correction(median=3).to_json())  # as it was written before there were any
    assert set(json.loads(one.to_json())["dark"]) == {"source", "fingerprint"}


@pytest.mark.parametrize(
    "wrong", [{"exposure_time": "2 s"}, {"exposure_time": 0.0}, {"n_frames": 0}, {"n_frames": True}]
)
def test_images_that_say_nonsense_of_their_counting_are_refused(wrong):
    image = xr.DataArray(np.ones((4, 5)), dims=("y", "x"), attrs=wrong)
    with pytest.raises(xi.errors.CorrectionError, match=next(iter(wrong))):
        xi.Correction(dark=image)


def test_frames_that_say_no_exposure_above_zero_take_the_dark_as_it_is():
    dark = xr.DataArray(np.full((4, 5), 10.0), dims=("y", "x"), attrs={"exposure_time": 2.0})
    frames = xr.Dataset({"image": (("time", "y", "x"), np.full((3, 4, 5), 100, "int32"), {"units": "counts"})})
    frames = frames.assign_coords(exposure_time=("time", [-4.0, 0.0, 4.0]))
    with pytest.warns(xi.errors.XinsituWarning, match="not all frames do"):
        found = xi.correct(frames, xi.Correction(dark=dark)).image
    assert found.mean(("y", "x")).values.tolist() == [90, 90, 80]
