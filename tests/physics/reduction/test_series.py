"""ROI time series against scipy, scikit-image, the beamline's own numbers and the fully corrected frames."""

from __future__ import annotations

import csv
import json
import pickle

import dask
import numpy as np
import pytest
import scipy.ndimage
import skimage.measure
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.errors import SchemaError
from xinsitu.schema import Quality
from xinsitu.values import Key, KeyFrame, Rotated
from xinsitu.variables import as_frames

EQUAL = (
    "intensity",
    "background",
    "maximum",
    "maximum_y",
    "maximum_x",
    "com_y",
    "com_x",
    "fwhm_y",
    "fwhm_x",
    "n_valid",
)
ROIS = [
    xi.Roi("WZ", y=(8, 30), x=(12, 40), background=("left", "right")),
    xi.Roi("left", y=(8, 30), x=(2, 8), role="background"),
    xi.Roi("right", y=(0, 12), x=(42, 48), role="background"),
    xi.Roi("corner", y=(0, 15), x=(0, 18)),
    xi.Roi("far", y=(28, 40), x=(30, 48)),
]


def spots(n=9, shape=(40, 48), *, seed=0, dtype="int32", level=3.0, height=200.0):
    """Frames of a spot that moves and fades on a background, with a second one in a corner."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])
    time = np.arange(n)[:, None, None]
    truth = level + height * np.exp(-((y - 18 - 0.2 * time) ** 2) / 18 - ((x - 25 + 0.3 * time) ** 2) / 8) / (1 + time)
    truth = truth + 40 * np.exp(-((y - 6) ** 2 + (x - 5) ** 2) / 6)
    coords = {
        "time": np.datetime64("2014-05-28T08:00", "ns") + np.arange(n) * np.timedelta64(1, "s"),
        "y": ("y", np.arange(shape[0]), {"long_name": "hk"}),
        "x": ("x", np.arange(shape[1]), {"long_name": "l"}),
        "frame": ("time", np.arange(n)),
        "sample": "0884",
    }
    attrs = {"units": "counts", "long_name": "frames of spots"}
    return xr.DataArray(
        rng.poisson(truth).astype(dtype), dims=("time", "y", "x"), coords=coords, attrs=attrs, name="image"
    )


def flat_of(image):
    values = np.random.default_rng(3).uniform(0.8, 1.2, (image.sizes["y"], image.sizes["x"]))
    return xr.DataArray(values, dims=("y", "x"))


def assert_same(one, other, names=EQUAL):
    for name in names:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


# -- against others ---------------------------------------------------------------------------------------------------


def test_plain_sums_and_positions_are_those_of_scipy_and_skimage():
    image = spots()
    series = xi.measure(image, [xi.Roi("a", y=(3, 33), x=(7, 44))]).isel(roi=0)
    for frame, own in zip(image.values[:, 3:33, 7:44], (series.isel(time=i) for i in range(9)), strict=True):
        assert own.intensity == frame.sum()
        assert own.background == 0
        assert own.maximum == frame.max()
        row, column = np.unravel_index(frame.argmax(), frame.shape)
        assert (own.maximum_y, own.maximum_x) == (row + 3, column + 7)
        centre = np.add(scipy.ndimage.center_of_mass(frame), (3, 7))
        np.testing.assert_allclose((own.com_y, own.com_x), centre, rtol=1e-12)
        (props,) = skimage.measure.regionprops(np.ones(frame.shape, int), frame)
        np.testing.assert_allclose((own.com_y, own.com_x), np.add(props.centroid_weighted, (3, 7)), rtol=1e-12)
        assert own.n_valid == frame.size


def test_width_above_declared_background():
    y, x = np.arange(60)[:, None], np.arange(50)
    truth = 2e5 * np.exp(-0.5 * ((y - 30.3) / 4.0) ** 2 - 0.5 * ((x - 24.6) / 5.0) ** 2) + 500
    image = xr.DataArray(np.round(truth)[None].astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    rois = [xi.Roi("a", (10, 50), (4, 46), background=("b",)), xi.Roi("b", (0, 60), (0, 2))]
    own = xi.measure(image, rois).sel(roi="a").isel(time=0)
    assert own.fwhm_y == pytest.approx(4.0 * 2.3548, rel=0.01)
    assert own.fwhm_x == pytest.approx(5.0 * 2.3548, rel=0.01)
    assert own.com_y == pytest.approx(30.3, abs=0.01)
    assert own.com_x == pytest.approx(24.6, abs=0.01)
    assert own.background == pytest.approx(500 * 40 * 42, rel=1e-3)
    assert own.intensity == pytest.approx(2e5 * 2 * np.pi * 20, rel=0.01)


def test_every_frame_of_the_beamline_agrees(shared_data):
    with (shared_data / "i07" / "roi1_by_the_beamline.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 90
    for scan in sorted({row["scan"] for row in rows}):
        measurement = xi.open_measurement(shared_data / "i07" / "refl" / scan, tz="Europe/London", logs=None)
        own = [row for row in rows if row["scan"] == scan]
        boxes = [tuple(int(row[f"roi_{key}"]) for key in "xywh") for row in own]
        rois = {box: xi.Roi(str(box), y=(box[1], box[1] + box[3]), x=(box[0], box[0] + box[2])) for box in boxes}
        series = xi.measure(measurement, rois.values()).compute()
        for number, (row, box) in enumerate(zip(own, boxes, strict=True)):
            values = series.sel(roi=str(box)).isel(time=number)
            assert values.intensity == float(row["gda_sum"])
            assert values.maximum == float(row["gda_max"])


# -- the crop and the whole -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("median", [None, 3, 5])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    "region",
    [
        None,
        xi.Background(y=(30, 38), x=(3, 13)),
        xi.Background(y=(30, 38), x=(3, 13), mode="subtract"),
        xi.Background(regions=(((30, 38), (3, 13)), ((0, 4), (40, 47))), normalise="mean"),
    ],
    ids=["plain", "divide", "subtract", "mean"],
)
@pytest.mark.thorough("plain-False-3", "divide-True-None", "subtract-True-5", "mean-False-3")
def test_cropping_first_gives_the_same_bits_as_correcting_all(median, flat, region):
    image = spots()
    image[:, 13, 20] = -1
    image[4, 9, :] = -2
    recipe = xi.Correction(median=median, flatfield=flat_of(image) if flat else None, background=region)
    lazy = image.chunk({"time": 4})
    assert_same(
        xi.measure(lazy, ROIS, correction=recipe).compute(), xi.measure(xi.correct(lazy, recipe), ROIS).compute()
    )


@pytest.mark.parametrize("step", ["threshold", "mask", "normalise", "count_rate", "all"])
def test_every_other_step_too(step):
    image = spots(height=2e4).assign_coords(exposure_time=0.1, monitor=("time", np.linspace(900, 1100, 9)))
    image[:, 13, 20] = -1
    image[:, 20, 33] = 10**5
    mask = xr.zeros_like(image[0], dtype=bool).drop_vars(["time", "frame"], errors="ignore")
    mask[9:11, 14:30] = True
    steps = {
        "threshold": {"median": 3, "threshold": 5},
        "mask": {"median": 5, "mask": mask},
        "normalise": {"median": 3, "normalise": "monitor"},
        "count_rate": {"median": 3, "count_rate": 3e-7},
    }
    steps["all"] = {key: value for each in steps.values() for key, value in each.items()}
    recipe = xi.Correction(**steps[step], flatfield=flat_of(image), background=xi.Background((30, 38), (3, 13)))
    lazy = image.chunk({"time": 4}).assign_coords(image.coords)
    one = xi.measure(lazy, ROIS, correction=recipe).compute()
    assert_same(one, xi.measure(xi.correct(lazy, recipe), ROIS).compute())
    xr.testing.assert_identical(one, xi.measure(image, ROIS, correction=recipe))


@pytest.mark.thorough
@given(data=st.data())
def test_any_chunks_dtype_and_roi_give_the_same_bits(data):
    dtype = data.draw(st.sampled_from(["uint16", "int16", "int32", "float32"]))
    image = as_frames(spots(dtype=dtype, level=30.0))
    top, left = data.draw(st.integers(0, 38)), data.draw(st.integers(0, 46))
    bottom, right = data.draw(st.integers(top + 1, 40)), data.draw(st.integers(left + 1, 48))
    rois = [xi.Roi("a", y=(top, bottom), x=(left, right), background=("b",)), xi.Roi("b", y=(30, 40), x=(0, 9))]
    recipe = xi.Correction(median=3, flatfield=flat_of(image))
    whole = xi.measure(image, rois, correction=recipe)
    lazy = image.chunk({"time": data.draw(st.integers(1, 9)), "y": data.draw(st.sampled_from([-1, 7]))})
    xr.testing.assert_identical(xi.measure(lazy, rois, correction=recipe).compute(), whole)
    assert_same(xi.measure(xi.correct(image, recipe), rois), whole)
    frames = xi.correct(image, recipe).values[:, top:bottom, left:right].astype("float64")
    np.testing.assert_allclose(whole.intensity[:, 0] + whole.background[:, 0], frames.sum(axis=(1, 2)), rtol=1e-12)


def test_measuring_a_cropped_image():
    image = spots()
    part = xi.crop(image, y=(5, 36), x=(10, 46))
    assert_same(xi.measure(part, [xi.Roi("a", (8, 30), (12, 40))]), xi.measure(image, [xi.Roi("a", (8, 30), (12, 40))]))


# -- schedulers, laziness, pickles ------------------------------------------------------------------------------------


def test_lazy_until_computed_and_one_pass(computes):
    image = spots().chunk({"time": 2})
    with computes(0):
        series = xi.measure(
            image, ROIS, correction=xi.Correction(median=3, background=xi.Background((30, 38), (3, 13)))
        )
        assert series.intensity.chunks is not None
    (optimised,) = dask.optimize(series)
    n_chunks = len(image.chunks[0])
    assert len(dict(optimised.__dask_graph__())) <= 3 * n_chunks + 40
    again = xi.measure(image, ROIS, correction=xi.Correction(median=3, background=xi.Background((30, 38), (3, 13))))
    assert again.intensity.data.name == series.intensity.data.name
    xr.testing.assert_identical(pickle.loads(pickle.dumps(series)).compute(), series.compute())


def test_chunked_coordinates_are_not_computed_early(computes):
    scan = spots().to_dataset(name="image").assign_attrs(tau=2e-7, count_cutoff=10**6)
    scan = scan.assign_coords(
        exposure_time=("time", np.full(9, 0.1)),
        monitor=("time", np.ones(9)),
        omega=("time", np.arange(9.0), {"units": "degree"}),
        frame_status=("time", np.zeros(9, "int8")),
    )
    with computes(0):
        series = xi.measure(scan.chunk({"time": 3}), ROIS, correction=xi.Correction(median=3))
    assert np.isfinite(series.intensity.values).all()
    assert [Quality.FRAME_IN_MOTION in flag for flag in flags(series, "far")] == [False] + [True] * 8


def test_each_frame_is_read_once():
    reads = []

    def read(block_info=None):
        first, behind = block_info[None]["array-location"][0]
        reads.append(first)
        return spots().values[first:behind]

    frames = dask.array.map_blocks(
        read, chunks=((3, 3, 3), (40,), (48,)), dtype="int32", meta=np.empty((0, 0, 0), "int32")
    )
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    series = xi.measure(image, ROIS, correction=xi.Correction(median=3, background=xi.Background((30, 38), (3, 13))))
    dask.compute(series, scheduler="synchronous")
    assert sorted(reads) == [0, 3, 6]


@pytest.mark.thorough
def test_same_numbers_under_every_scheduler():
    distributed = pytest.importorskip("distributed")
    image = spots().chunk({"time": 2})
    recipe = xi.Correction(
        median=3, flatfield=flat_of(image), background=xi.Background((30, 38), (3, 13), normalise="mean")
    )
    series = xi.measure(image, ROIS, correction=recipe)
    frames = xi.correct(image, recipe)
    expected, expected_frames = series.compute(scheduler="synchronous"), frames.compute(scheduler="synchronous")
    xr.testing.assert_identical(series.compute(scheduler="threads"), expected)
    local = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1"}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "60s", "distributed.worker.profile.enabled": False}),
        distributed.LocalCluster(dashboard_address=":0", **local) as cluster,
        distributed.Client(cluster),
    ):
        xr.testing.assert_identical(series.compute(), expected)
        xr.testing.assert_identical(frames.compute(), expected_frames)


def test_inputs_are_left_alone():
    image = spots()
    before = image.copy(deep=True)
    xi.measure(image, ROIS, correction=xi.Correction(median=3))
    xr.testing.assert_identical(image, before)


# -- the data model ---------------------------------------------------------------------------------------------------


def test_units_names_and_coordinates():
    scan = spots().to_dataset().assign_attrs(detector="PILATUS 100K", count_cutoff=50)
    scan = scan.assign_coords(monitor=("time", np.arange(9.0)))
    series = xi.measure(scan, xi.RoiSet(ROIS))
    assert series.intensity.attrs["units"] == "counts"
    assert series.com_y.attrs == {"units": "pixel", "long_name": "centre of mass along hk"}
    assert series.fwhm_x.attrs["long_name"] == "full width at half maximum along l"
    assert series.com_x_errors.attrs["long_name"] == "standard error of the centre of mass along l"
    assert series.attrs["detector"] == "PILATUS 100K"
    ridden = {"time", "frame", "sample", "monitor", "scale_errors", "remarks"}
    assert set(series.coords) == {*ridden, "roi", "roi_y0", "roi_y1", "roi_x0", "roi_x1"}
    assert series.roi.values.tolist() == [roi.name for roi in ROIS]
    assert series.roi_x1.values.tolist() == [roi.x[1] for roi in ROIS]
    assert series.quality.dtype == np.int32
    assert series.quality.attrs["flag_masks"].dtype == np.int32
    assert all(series[name].dims == ("time", "roi") for name in series.data_vars)
    ratio = xi.measure(scan, ROIS, correction=xi.Correction(background=xi.Background((30, 38), (3, 13))))
    assert ratio.intensity.attrs["units"] == "1"
    assert ratio.intensity_errors.attrs["units"] == "1"


def test_images_that_are_not_counts_have_no_errors():
    image = spots(dtype="float64").assign_attrs(units="1", count_cutoff=20)
    series = xi.measure(image, ROIS)
    assert np.isnan(series.intensity_errors).all()
    assert np.isnan(series.com_y_errors).all()
    assert (series.n_saturated == -1).all()
    assert np.isfinite(series.intensity).all()


def test_only_what_is_asked():
    series = xi.measure(spots(), [xi.Roi("a", (8, 30), (12, 40), measure=("com",)), xi.Roi("b", (8, 30), (12, 40))])
    asked, all_of_it = series.sel(roi="a"), series.sel(roi="b")
    xr.testing.assert_equal(asked.com_y.drop_vars("roi"), all_of_it.com_y.drop_vars("roi"))
    for name in ("intensity", "background", "fwhm_y", "fwhm_x"):
        assert np.isnan(asked[name]).all()
        assert np.isfinite(all_of_it[name]).all()


def test_a_dataset_without_coordinates_will_do():
    bare = xr.DataArray(spots().values, dims=("time", "y", "x")).to_dataset(name="image")
    assert_same(xi.measure(bare, ROIS), xi.measure(spots(), iter(ROIS)))


# -- flags ------------------------------------------------------------------------------------------------------------


def flags(series, roi):
    return [Quality(int(value)) for value in series.quality.sel(roi=roi)]


def test_saturated_pixels_are_counted_raw_and_flagged():
    image = spots().assign_attrs(count_cutoff=1000)
    image[2, 10, 20] = 1000
    series = xi.measure(image, ROIS, correction=xi.Correction(median=3))
    assert series.n_saturated.sel(roi="WZ").values.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert Quality.SATURATED in flags(series, "WZ")[2]
    assert Quality.SATURATED not in flags(series, "WZ")[1]
    assert xi.measure(image, ROIS).intensity.sel(roi="WZ")[2] > 1000


def test_bad_pixels_are_left_out_counted_and_flagged():
    image = spots()
    image[3, 10, 20] = -2
    series = xi.measure(image, [xi.Roi("a", (8, 30), (12, 40))])
    assert series.n_valid[3, 0] == 22 * 28 - 1
    assert Quality.MASKED_PIXELS in flags(series, "a")[3]
    assert Quality.MASKED_PIXELS not in flags(series, "a")[2]
    frame = image.values[3, 8:30, 12:40]
    assert series.intensity[3, 0] == frame[frame >= 0].sum()


def test_an_empty_roi_has_no_position():
    image = spots() * 0
    image.attrs["units"] = "counts"
    series = xi.measure(image, [xi.Roi("a", (8, 30), (12, 40))])
    assert (series.intensity == 0).all()
    assert np.isnan(series.com_y).all()
    assert np.isnan(series.fwhm_y).all()
    assert all(Quality.LOW_COUNTS in flag and Quality.HALF_LEVEL_NOT_CROSSED in flag for flag in flags(series, "a"))


def test_a_peak_that_is_cut_has_no_width():
    series = xi.measure(spots(), [xi.Roi("a", (18, 30), (12, 40))])
    assert np.isnan(series.fwhm_y[0, 0])
    assert Quality.HALF_LEVEL_NOT_CROSSED in flags(series, "a")[0]
    assert Quality.PEAK_AT_EDGE in flags(series, "a")[0]


def test_zero_background_is_flagged_and_said_once_for_all():
    image = spots()
    image[5:7, 30:38, 3:13] = 0
    recipe = xi.Correction(background=xi.Background((30, 38), (3, 13)))
    lazy = xi.measure(image.chunk({"time": 2}), ROIS, correction=recipe)
    with pytest.warns(xi.XinsituWarning, match="zero in 2 of 9 frames") as said:
        series = lazy.compute()
    assert len(said) == 1
    assert np.isnan(series.intensity[5:7]).all()
    assert np.isfinite(series.intensity[:5]).all()
    assert [Quality.ZERO_BACKGROUND in flag for flag in flags(series, "WZ")] == [False] * 5 + [True] * 2 + [False] * 2


def test_a_background_of_few_counts_warns_with_the_noise_it_adds():
    recipe = xi.Correction(background=xi.Background((36, 38), (3, 6)))
    with pytest.warns(xi.XinsituWarning, match=r"counts per frame on average: dividing by it adds \d\d % noise"):
        xi.measure(spots(level=4), ROIS, correction=recipe)


def test_frame_faults_are_flagged():
    image = spots().assign_coords(frame_status=("time", np.array([0, 1, 0, 0, 0, 0, 0, 0, 10], "int8")))
    marked = [Quality.FRAME_FAULT in flag for flag in flags(xi.measure(image, ROIS), "far")]
    assert marked == [False, True] + [False] * 7


def test_a_gap_between_modules_makes_no_narrow_peak():
    image = spots(height=5e4)
    whole = xi.measure(image, [xi.Roi("a", (5, 35), (10, 40))])
    image[:, :, 22:24] = -1
    gap = xi.measure(image, [xi.Roi("a", (5, 35), (10, 40))])
    np.testing.assert_allclose(gap.fwhm_x, whole.fwhm_x, rtol=0.2)
    assert all(Quality.MASKED_PIXELS in flag for flag in flags(gap, "a"))
    assert (gap.n_valid == 30 * 28).all()


def test_frames_in_motion_and_without_beam_are_flagged():
    image = spots()
    omega = xr.DataArray([1.0, 1.0, 1.0002, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5], dims="time", attrs={"units": "degree"})
    monitor = xr.DataArray([5e4, 5e4, 10, 5e4, 0, 5e4, 5e4, 5e4, np.nan], dims="time")
    with pytest.warns(xi.XinsituWarning, match="omega moves within the measurement"):
        series = xi.measure(image.assign_coords(omega=omega, monitor=monitor), ROIS)
    told = flags(series, "far")
    assert [Quality.FRAME_IN_MOTION in flag for flag in told] == [False] * 3 + [True] + [False] * 5
    assert [Quality.NO_BEAM in flag for flag in told] == [False, False, True, False, True] + [False] * 4


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_roi_off_the_image_is_refused():
    with pytest.raises(xi.RoiError, match="'off'"):
        xi.measure(spots(), [xi.Roi("off", (30, 41), (0, 5))])
    with pytest.raises(xi.RoiError, match="'WZ'"):
        xi.measure(xi.crop(spots(), y=(9, 40)), ROIS)


def test_no_roi_and_no_image_are_refused():
    with pytest.raises(xi.SchemaError, match="no ROI"):
        xi.measure(spots(), [])
    with pytest.raises(xi.SchemaError, match="image"):
        xi.measure(spots().rename("other").to_dataset(), ROIS)


def test_kinds_of_numbers_are_those_of_the_data_model_whether_pixels_count_in_part_or_not():
    turned = xi.Roi("turned", geometry=Rotated((20, 25), (12, 20), 30), edges="exact")
    for rois, number in ((ROIS, "i"), ([turned], "f")):
        series = xi.measure(spots(), rois)
        kinds = {name: series[name].dtype.kind for name in ("quality", "n_valid", "n_saturated", "intensity")}
        assert kinds == {"quality": "i", "n_valid": number, "n_saturated": "i", "intensity": "f"}


def test_the_rois_of_a_series_are_written_in_one_order():
    text = xi.measure(spots(), ROIS).attrs["rois"]
    assert text == json.dumps(json.loads(text), sort_keys=True)


def test_bounds_of_rois_that_move_and_that_rest_stand_side_by_side():
    path = (KeyFrame(Key(frame=0), (8, 12), (12, 20)), KeyFrame(Key(frame=8), (16, 20), (20, 28)))
    rois = [
        xi.Roi("moves", (8, 12), (12, 20), path=path),
        xi.Roi("rests", (1, 3), (2, 7)),
        xi.Roi("too", (4, 6), (5, 9)),
    ]
    series = xi.measure(spots(), rois)
    wanted = {"roi_y0": (8, 1, 4), "roi_y1": (12, 3, 6), "roi_x0": (12, 2, 5), "roi_x1": (20, 7, 9)}
    for name, (moves, *rests) in wanted.items():
        assert series[name].dims == ("time", "roi")
        assert series[name].values.tolist() == [[moves + frame, *rests] for frame in range(9)]


def test_what_is_no_counts_less_a_dark_has_sums_and_no_counting_errors():
    dark = xr.DataArray(np.full((40, 48), 2.0), dims=("y", "x"))
    image = spots().astype("float32").assign_attrs(units="1")
    series = xi.measure(image, ROIS, correction=xi.Correction(dark=dark))
    plain = xi.measure(image - 2.0, ROIS)
    np.testing.assert_allclose(series.intensity, plain.intensity, rtol=1e-5)
    assert np.isnan(series.intensity_errors).all()


@pytest.mark.parametrize(("smooth", "taken"), [(3, True), (5, True), (1, False), (2, False), (4, False), (True, False)])
def test_profiles_are_smoothed_over_an_odd_number_of_bins(smooth, taken):
    if taken:
        xi.measure(spots(), ROIS, smooth=smooth)
        return
    with pytest.raises(SchemaError, match="smooth must be an odd number of bins from 3 on"):
        xi.measure(spots(), ROIS, smooth=smooth)


@pytest.mark.parametrize("median", [None, 3])
@pytest.mark.filterwarnings("ignore:few counts per pixel:xinsitu.XinsituWarning")
def test_frames_that_went_through_a_median_before_are_flagged_and_others_are_not(median):
    image = spots() if median is None else xi.correct(spots(), xi.Correction(median=median))
    flagged = (xi.measure(image, ROIS).quality & Quality.MEDIAN_BIAS) > 0
    assert (flagged == (median is not None)).all()
