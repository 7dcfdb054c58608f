"""Steps on blocks of frames, each way by itself: by the compiled kernel and by NumPy, in memory and out of files."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import camserver_bytes, stamp_of
from xinsitu import kernels
from xinsitu.kernels import compiled
from xinsitu.physics.corrections import framewise
from xinsitu.physics.corrections.framewise import DARK, SCALE, Subtracted
from xinsitu.physics.corrections.plan import prepared

CORNER = (2, 6), (1, 7)
LEVEL = np.array([60.0, 20.0, 0.0, 30.0])


@pytest.fixture(params=["kernel", "NumPy"])
def way(request, monkeypatch):
    """The same truth must come by either, so that none hides behind the other."""
    if request.param == "NumPy":
        monkeypatch.setattr(compiled, "library", lambda: None)
    elif compiled.library() is None:
        pytest.skip("no compiled kernel")
    return request.param


def frames(dtype="int32"):
    """Four frames of 12 x 14 whose corner has an even level, nothing in one of them."""
    pixels = np.arange(4 * 12 * 14).reshape(4, 12, 14) % 97
    pixels[:, 2:6, 1:7] = LEVEL[:, None, None]
    return xr.DataArray(pixels.astype(dtype), dims=("time", "y", "x"), attrs={"units": "counts"})


def steps_of(image, recipe, dtype=np.float32):
    ready = prepared(image, recipe, dtype=dtype)
    return ready.steps, ready.per_frame


def in_folder(image, folder):
    for number, pixels in enumerate(image.values):
        (folder / f"a_{number}.tif").write_bytes(camserver_bytes(pixels, stamp_of(number)))
    return xi.open_measurement(folder, tz="UTC").image


@pytest.mark.parametrize("place", ["memory", "files"])
@pytest.mark.parametrize("normalise", ["none", "mean"])
def test_frames_are_divided_by_their_own_level_and_without_one_are_said_to_be_nothing(way, place, normalise, tmp_path):
    image = frames() if place == "memory" else in_folder(frames(), tmp_path).chunk(time=2)
    recipe = xi.Correction(background=xi.Background(*CORNER, normalise="mean" if normalise == "mean" else None))
    with pytest.warns(xi.XinsituWarning, match="background is zero in 1 of 4 frames"):
        found = xi.correct(image, recipe).values
    level = np.where(LEVEL > 0, LEVEL, np.nan) / (LEVEL.mean() if normalise == "mean" else 1)
    np.testing.assert_allclose(found, frames().values / level[:, None, None], rtol=1e-6)


def test_a_level_that_is_subtracted_may_be_nothing(way):
    found = xi.correct(frames(), xi.Correction(background=xi.Background(*CORNER, mode="subtract"))).values
    np.testing.assert_allclose(found, frames().values - LEVEL[:, None, None], rtol=1e-6)


def test_frames_that_could_not_be_read_stay_so(way):
    image = frames("float32")
    image.values[1] = kernels.lost(np.dtype("float32"), kernels.UNREAD)
    steps, per_frame = steps_of(image, xi.Correction(background=xi.Background(*CORNER)))
    found = framewise.correct_block(image.values, per_frame, plan=steps)
    assert kernels.marked(found, kernels.UNREAD).tolist() == [False, True, False, False]
    assert kernels.marked(found, kernels.DARK).tolist() == [False, False, True, False]


def test_each_frame_is_multiplied_by_its_own_factor(way):
    image = frames().assign_coords(monitor=("time", [1.0, 2.0, 4.0, 5.0]))
    found = xi.correct(image, xi.Correction(median=3, normalise="monitor"))
    plain = xi.correct(image, xi.Correction(median=3))
    np.testing.assert_allclose(found, plain * (3.0 / image.monitor), rtol=1e-6)


@pytest.mark.parametrize("median", [None, 3])
def test_flat_field_and_mask_at_their_own_pixels(way, median):
    image = frames()
    flat = xr.DataArray(np.linspace(0.5, 1.5, 168).reshape(12, 14), dims=("y", "x"))
    mask = np.zeros((12, 14), bool)
    mask[8, 3:5] = True
    found = xi.correct(image, xi.Correction(median=median, flatfield=flat, mask=mask))
    plain = xi.correct(image, xi.Correction(median=median, mask=mask))
    np.testing.assert_allclose(found, plain / flat, rtol=1e-6)
    assert np.argwhere(np.isnan(found.values[0])).tolist() == [[8, 3], [8, 4]]


def test_dark_images_are_taken_off_as_often_as_each_frame_says():
    values, variance = np.arange(168.0).reshape(12, 14), np.full((12, 14), 0.25)
    steps, per_frame = steps_of(frames(), xi.Correction())
    assert steps.below(per_frame, slice(None), slice(None)) is None
    dark = replace(steps, images=(Subtracted(values, variance, DARK), Subtracted(2 * values, variance, SCALE)))
    per_frame[:, DARK], per_frame[:, SCALE] = [1, 2, 3, 4], 1.0
    below, spread = dark.below(per_frame, slice(3, 5), slice(2, 9))
    times = np.array([1.0, 2.0, 3.0, 4.0])[:, None, None]
    np.testing.assert_array_equal(below, (times + 2) * values[3:5, 2:9])
    np.testing.assert_array_equal(spread, np.broadcast_to((times**2 + 1) * 0.25, (4, 2, 7)))
    per_frame[:, DARK] = 3
    once, _ = dark.below(per_frame, slice(0, 2), slice(0, 14))
    assert once.shape == (1, 2, 14)  # the same for all frames, and kept once
    np.testing.assert_array_equal(once[0], 5 * values[:2])


def test_a_part_of_the_steps_is_that_of_all_that_belongs_to_pixels():
    flat, mask = np.arange(1.0, 169).reshape(12, 14), np.arange(168).reshape(12, 14) % 5 == 0
    steps, _ = steps_of(frames(), xi.Correction(background=xi.Background((5, 9), (6, 10))))
    image = Subtracted(flat, 2 * flat, DARK)
    whole = replace(steps, flat=flat, mask=mask, dead=(~mask, 77), images=(image,))
    which = np.array([1, 2, 6, 7, 8, 9, 10])
    for part, key, box in (
        (whole.of_rows(slice(4, 11)), (slice(4, 11), slice(None)), ((1, 5), (6, 10))),
        (whole.of_columns(which), (slice(None), which), ((5, 9), (2, 6))),
    ):
        assert part.boxes == (box,)
        for found, all_of_it in (
            (part.flat, flat), (part.mask, mask), (part.dead[0], ~mask),
            (part.images[0].values, flat), (part.images[0].variance, 2 * flat),
        ):  # fmt: skip
            np.testing.assert_array_equal(found, all_of_it[key])
        assert part.dead[1] == 77
    bare = steps.of_rows(slice(4, 11))
    assert (bare.flat, bare.mask, bare.dead, bare.images) == (None, None, None, ())
    assert replace(steps, boxes=None).of_columns(which).boxes is None


@pytest.mark.skipif(compiled.library() is None, reason="no compiled kernel")
def test_what_the_compiled_kernel_knows():
    raw = frames().values
    steps, _ = steps_of(frames(), xi.Correction(median=3, background=xi.Background(*CORNER)))
    assert framewise.compiles(raw, steps)
    assert framewise.compiles(raw, replace(steps, median=None))
    doubles = replace(steps, dtype=np.dtype("float64"))
    assert framewise.compiles(raw, replace(doubles, mode=None, boxes=None, scaled=False))
    for other in (
        replace(steps, median=5),
        replace(steps, dead_time=1e-7),
        replace(steps, images=(Subtracted(np.ones((12, 14)), np.ones((12, 14)), DARK),)),
        replace(steps, stored=np.dtype("uint32")),
        doubles,
        replace(doubles, mode=None, boxes=None, scaled=True),
    ):
        assert not framewise.compiles(raw, other)
    assert not framewise.compiles(raw[:0], steps)
    assert not framewise.compiles(raw.astype("complex64"), steps)
    assert framewise.compiles(raw.astype("float32"), replace(steps, stored=np.dtype("uint32")))


def test_raw_counts_are_those_of_good_pixels_of_all_regions():
    image = frames()
    image.values[0, 2, 1] = -1
    steps, _ = steps_of(image, xi.Correction(background=xi.Background(regions=(CORNER, ((8, 10), (3, 8))))))
    wanted = [pixels[2:6, 1:7][pixels[2:6, 1:7] >= 0].sum() + pixels[8:10, 3:8].sum() for pixels in image.values]
    assert framewise.raw_counts(image.values, steps).tolist() == wanted
    assert framewise.raw_counts(image.values, replace(steps, boxes=None)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("counts", "said"), [([], None), ([0.0], None), ([100.0], None), ([64.0, 36.0], "14 %")])
def test_noise_of_a_region_is_said_below_a_hundred_counts(counts, said):
    """The root of the counts over the counts: 1 / sqrt(50) is 14 %."""
    text = framewise.noise_of(np.array(counts))
    assert text is None if said is None else f"dividing by it adds {said} noise to each frame" in text


def test_means_over_parts_leave_out_what_says_nothing():
    one, other = np.arange(12.0).reshape(2, 2, 3), np.full((2, 1, 3), 100.0)
    one[0, 0, :2], other[1] = np.nan, np.nan
    found = framewise.pooled_mean([one, other])
    np.testing.assert_allclose(found, [(2 + 3 + 4 + 5 + 300) / 7, one[1].mean()])
    assert np.isnan(framewise.pooled_mean([np.full((1, 2, 2), np.nan)])).all()
    assert framewise.mean_level(np.array([1.0, np.nan, 4.0])) == 2.5
    assert np.isnan(framewise.mean_level(np.array([np.nan])))


def test_what_frames_are_divided_by():
    steps, _ = steps_of(frames(), xi.Correction(background=xi.Background(*CORNER)))
    level = np.array([2.0, 0.0, -1.0, 6.0])
    np.testing.assert_array_equal(framewise.divisor(level, steps, None), [2, np.nan, np.nan, 6])
    np.testing.assert_array_equal(framewise.divisor(level, steps, 2.0), [2, np.nan, np.nan, 6])
    mean = replace(steps, needs_mean=True)
    np.testing.assert_array_equal(framewise.divisor(level, mean, 2.0), [1, np.nan, np.nan, 3])


@pytest.mark.parametrize("lazy", [False, True])
def test_a_dataset_is_cropped_in_its_image_and_says_how_large_the_detector_is(lazy):
    image = frames().chunk(time=1) if lazy else frames()
    for data in (image.to_dataset(name="image"), image):
        part = xi.crop(data, y=(2, 7))
        found = part.image if isinstance(part, xr.Dataset) else part
        assert found.attrs["detector_shape"] == "[12, 14]"
        np.testing.assert_array_equal(found, frames()[:, 2:7])
        assert "detector_shape" not in (data.image if isinstance(data, xr.Dataset) else data).attrs


@pytest.mark.parametrize("median", [None, 3, 5])
@pytest.mark.parametrize("box", [((0, 12), (0, 14)), ((4, 9), (5, 11)), ((0, 3), (9, 14)), ((10, 12), (1, 2))])
def test_a_box_has_the_bits_of_whole_frames(median, box):
    """Whatever lies around it, and wherever: in the middle, at an edge, in a corner."""
    flat = xr.DataArray(np.linspace(0.5, 2, 168).reshape(12, 14), dims=("y", "x"))
    steps, per_frame = steps_of(frames(), xi.Correction(median=median, flatfield=flat))
    whole = framewise.filtered(frames().values, steps, per_frame)
    found = framewise.filtered(frames().values, steps, per_frame, box)
    np.testing.assert_array_equal(found, whole[:, slice(*box[0]), slice(*box[1])])


@pytest.mark.parametrize(("level", "said"), [(1.0, True), (60.0, False)])
def test_noise_of_a_background_is_said_where_lazy_frames_are_written(level, said, tmp_path):
    pixels = frames()
    pixels[:, 2:6, 1:7] = level
    (tmp_path / "in").mkdir()
    image = in_folder(pixels, tmp_path / "in").chunk(time=2)
    corrected = xi.correct(image, xi.Correction(background=xi.Background(*CORNER)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        xi.write_frames(corrected.to_dataset(name="image"), tmp_path / "out.zarr")
    assert any("holds 24 counts per frame on average" in str(one.message) for one in told) == said, [
        str(one.message) for one in told
    ]
