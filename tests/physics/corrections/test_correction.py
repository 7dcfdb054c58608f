"""Corrections against the steps done by hand with scipy, and what they refuse."""

from __future__ import annotations

import json
import pickle
import warnings

import dask
import numpy as np
import pytest
import scipy.ndimage
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xinsitu as xi
from xinsitu.physics.blocks import in_blocks
from xinsitu.physics.corrections.framewise import FEW_COUNTS

CORNER = xi.Background(y=(2, 8), x=(1, 9))


def made(shape=(7, 31, 29), *, dtype="int32", seed=0, mean=50.0):
    """Frames of counts with a gradient, so that nothing may be transposed or shifted."""
    rng = np.random.default_rng(seed)
    n, rows, columns = shape
    truth = mean * (1 + np.arange(rows)[:, None] / rows + 2 * np.arange(columns) / columns)
    frames = rng.poisson(np.broadcast_to(truth, shape)).astype(dtype)
    coords = {"time": np.arange(n), "y": np.arange(rows), "x": np.arange(columns), "sample": "made"}
    return xr.DataArray(frames, dims=("time", "y", "x"), coords=coords, name="image", attrs={"units": "counts"})


def flat_for(image, seed=1):
    shape = image.sizes["y"], image.sizes["x"]
    values = np.random.default_rng(seed).uniform(0.8, 1.2, shape)
    return xr.DataArray(values, dims=("y", "x"), coords={"y": image.y, "x": image.x}, attrs={"source": "flatfield1"})


def by_hand(image, flat, box=None, mode="divide"):
    frames = scipy.ndimage.median_filter(image.values.astype("float64"), size=(1, 3, 3), mode="reflect") / flat.values
    if box is None:
        return frames
    (top, bottom), (left, right) = box
    level = frames[:, top:bottom, left:right].mean(axis=(1, 2))[:, None, None]
    return frames / level if mode == "divide" else frames - level


@pytest.mark.parametrize("mode", ["divide", "subtract"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_recipe_equals_the_steps_by_hand(dtype, mode):
    image = made(dtype=dtype)
    flat = flat_for(image)
    recipe = xi.Correction(median=3, flatfield=flat, background=xi.Background(CORNER.y, CORNER.x, mode=mode))
    result = xi.correct(image, recipe)
    expected = by_hand(image, flat, ((2, 8), (1, 9)), mode)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    assert result.dtype == np.float32
    assert result.attrs["units"] == ("1" if mode == "divide" else "counts")


def test_one_function_after_the_other_is_the_recipe():
    image = made()
    flat = flat_for(image)
    by_steps = xi.background(xi.flatfield(xi.median(image), flat), CORNER)
    at_once = xi.correct(image, xi.Correction(median=3, flatfield=flat, background=CORNER))
    np.testing.assert_array_equal(by_steps, at_once)
    assert by_steps.attrs == at_once.attrs


def test_subtracting_from_unsigned_numbers_does_not_wrap():
    image = made(dtype="uint16")
    result = xi.background(image, xi.Background(y=(20, 31), x=(20, 29), mode="subtract"))
    assert float(result.min()) < 0
    assert float(result.max()) < 1000


def test_background_over_its_own_mean_keeps_counts():
    image = made() * xr.DataArray(np.array([1, 2, 3, 4, 5, 6, 7], "int32"), dims="time")
    image.attrs["units"] = "counts"
    result = xi.background(image, xi.Background(CORNER.y, CORNER.x, normalise="mean"))
    level = image[:, 2:8, 1:9].mean(("y", "x"))
    np.testing.assert_allclose(result, image / level * level.mean(), rtol=1e-6)
    assert result.attrs["units"] == "counts"
    lazy = xi.background(image.chunk({"time": 2}), xi.Background(CORNER.y, CORNER.x, normalise="mean"))
    np.testing.assert_array_equal(lazy, result)


def test_regions_are_pooled_by_pixels_not_by_means():
    image = made()
    regions = xi.Background(regions=(((0, 2), (0, 2)), ((10, 30), (5, 9))), mode="subtract")
    pixels = np.concatenate([image.values[:, 0:2, 0:2].reshape(7, -1), image.values[:, 10:30, 5:9].reshape(7, -1)], 1)
    expected = image.values - pixels.mean(axis=1)[:, None, None]
    np.testing.assert_allclose(xi.background(image, regions), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.thorough
@given(chunk=st.integers(1, 8), rows=st.sampled_from([-1, 10]), seed=st.integers(0, 3))
def test_any_chunks_give_the_same_bits(chunk, rows, seed):
    image = made(seed=seed)
    recipe = xi.Correction(median=5, flatfield=flat_for(image), background=CORNER)
    lazy = xi.correct(image.chunk({"time": chunk, "y": rows}), recipe)
    xr.testing.assert_identical(lazy.compute(), xi.correct(image, recipe))


@given(frames=hnp.arrays("int32", (2, 8, 9), elements=st.integers(-2, 40)))
def test_bad_pixels_become_nan_and_spoil_no_neighbour(frames):
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    result = xi.correct(image, xi.Correction(median=3))
    np.testing.assert_array_equal(np.isnan(result), frames < 0)
    assert not (result < 0).any()


def test_mask_is_left_out_before_the_median():
    image = made()
    hot = image.copy()
    hot[:, 10:12, 5] = 10**6
    mask = xr.zeros_like(image[0], dtype=bool)
    mask[10:12, 5] = True
    result = xi.correct(hot, xi.Correction(median=3, mask=mask))
    assert np.isnan(result.values[:, 10:12, 5]).all()
    assert np.isfinite(result.values).sum() == result.size - 2 * len(image)
    assert float(result.max()) < 1000


def test_laziness(computes):
    image = made().chunk({"time": 3})
    with computes(0):
        recipe = xi.Correction(
            median=3, flatfield=flat_for(image), background=xi.Background(CORNER.y, CORNER.x, normalise="mean")
        )
        result = xi.correct(image, recipe)
        assert xi.crop(result, y=(1, 5)).chunks is not None
    with computes(1):
        result.compute()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)), result)


def test_names_are_the_same_every_time():
    def name():
        image = made().chunk({"time": 3})
        return xi.correct(image, xi.Correction(median=3, flatfield=flat_for(image), background=CORNER)).data.name

    assert name() == name()


def test_few_fused_tasks():
    frames = dask.array.zeros((200, 31, 29), chunks=(10, 31, 29), dtype="int32")
    image = xr.DataArray(frames, dims=("time", "y", "x"))
    (optimised,) = dask.optimize(xi.correct(image, xi.Correction(median=3)).data)
    assert len(dict(optimised.__dask_graph__())) <= 3 * 20 + 2


@pytest.mark.thorough
def test_a_lazy_stack_without_chunks_is_not_loaded(tmp_path):
    made((40, 195, 487)).drop_vars("sample").to_dataset().to_netcdf(tmp_path / "stack.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "stack.nc", engine="h5netcdf", decode_times=False) as scan:
        assert scan.image.chunks is None
        result = xi.correct(scan, xi.Correction(median=3))
        assert result.image.chunks is not None
        chunk_bytes = result.image.chunks[0][0] * 195 * 487 * 4
        assert chunk_bytes <= 32 * 2**20
        assert in_blocks(scan.image).chunks is not None
        np.testing.assert_array_equal(result.image, xi.median(made((40, 195, 487))))


def test_inputs_are_left_alone():
    image, flat = made(), flat_for(made())
    before, flat_before = image.copy(deep=True), flat.copy(deep=True)
    xi.correct(image, xi.Correction(median=3, flatfield=flat, background=CORNER, mask=flat > 1.1))
    xr.testing.assert_identical(image, before)
    xr.testing.assert_identical(flat, flat_before)


def test_attributes_and_coordinates():
    image = made()
    image.attrs["count_cutoff"] = 99
    result = xi.correct(
        image.to_dataset().assign_attrs(detector="d"), xi.Correction(median=3, flatfield=flat_for(image))
    )
    assert result.attrs["detector"] == "d"
    assert result.image.attrs["corrections"] == "median flatfield"
    assert result.image.attrs["count_cutoff"] == 99
    assert result.sample == "made"
    xr.testing.assert_equal(result.y, image.y)


# -- flat field -------------------------------------------------------------------------------------------------------


def test_crop_divides_by_the_flat_at_its_own_pixels():
    image = made()
    flat = flat_for(image)
    whole = xi.flatfield(image, flat)
    for part in (xi.crop(image, y=(4, 20), x=(3, 17)), image.isel(y=slice(4, 20), x=slice(3, 17))):
        xr.testing.assert_equal(xi.flatfield(part, flat), whole.isel(y=slice(4, 20), x=slice(3, 17)))
    corner = xi.crop(image, y=(0, 9), x=(0, 9))
    xr.testing.assert_equal(xi.flatfield(corner, flat), whole.isel(y=slice(0, 9), x=slice(0, 9)))


@pytest.mark.parametrize("shape", [(30, 29), (29, 31), (32, 29), (619, 487)])
def test_flat_of_another_shape_is_refused(shape):
    with pytest.raises(xi.CorrectionError, match=rf"{shape[0]} x {shape[1]} .* 31 x 29"):
        xi.flatfield(made(), xr.DataArray(np.ones(shape), dims=("y", "x")))


def test_unusable_flat_pixels_become_nan_with_a_warning():
    image = made()
    flat = flat_for(image)
    flat[3, 4], flat[5, 6], flat[7, 8] = 0.0, np.nan, np.inf
    with pytest.warns(xi.XinsituWarning, match="3 of 899 pixels"):
        result = xi.flatfield(image, flat)
    assert np.isnan(result.values).sum() == 3 * len(image)
    assert not np.isinf(result.values).any()


def test_flat_is_not_applied_twice():
    image = made()
    once = xi.flatfield(image, flat_for(image))
    with pytest.raises(xi.CorrectionError, match="twice"):
        xi.correct(once, xi.Correction(flatfield=flat_for(image)))


# -- background -------------------------------------------------------------------------------------------------------


def test_zero_background_gives_nan_and_a_warning_when_computed():
    image = made()
    image[2, 2:8, 1:9] = 0
    lazy = xi.background(image.chunk({"time": -1}), CORNER)
    with pytest.warns(xi.XinsituWarning, match="zero in 1 of 7 frames"):
        values = lazy.values
    assert np.isnan(values[2]).all()
    assert np.isfinite(np.delete(values, 2, axis=0)).all()


@pytest.mark.thorough
def test_a_background_that_cannot_divide_is_said_once_for_all_blocks(tmp_path):
    image = made(shape=(12, 31, 29))
    image[::3, 2:8, 1:9] = 0
    lazy = xi.background(image.chunk({"time": 2}), CORNER)
    with pytest.warns(xi.XinsituWarning) as said:
        lazy.compute(scheduler="threads")
    assert len(said) == 1
    few = made(shape=(12, 31, 29), mean=0.4)
    recipe = xi.Correction(background=CORNER)
    with pytest.warns(xi.XinsituWarning, match=r"region holds [\d.]+ counts per frame .* adds \d\d % noise") as said:
        xi.correct(few, recipe)
    assert len(said) == 1
    lazy = xi.correct(few.chunk({"time": 2}), recipe)
    for number, frames in enumerate((lazy, lazy.isel(y=slice(9, 30)), lazy.to_dataset().image)):
        with pytest.warns(xi.XinsituWarning) as again:
            xi.write_frames(frames.to_dataset(), tmp_path / f"{number}.nc")
        assert [str(one.message) for one in again] == [str(said[0].message)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xi.correct(few, xi.Correction(background=xi.Background(CORNER.y, CORNER.x, mode="subtract")))
        xi.correct(made(), xi.Correction(background=CORNER))
        plenty = xi.correct(made().chunk({"time": 2}), xi.Correction(background=CORNER))
        xi.write_frames(plenty.to_dataset(), tmp_path / "plenty.nc")
        xi.write_frames((lazy * 2).to_dataset(), tmp_path / "touched.nc")
        xi.correct(few.assign_attrs(units="1"), xi.Correction(background=CORNER))


def test_background_outside_the_image_is_refused():
    with pytest.raises(xi.RoiError, match="does not lie in the image"):
        xi.background(made(), xi.Background(y=(20, 40), x=(0, 5)))
    with pytest.raises(xi.RoiError, match="does not lie in the image"):
        xi.background(xi.crop(made(), y=(10, 20)), CORNER)


# -- crop -------------------------------------------------------------------------------------------------------------


def test_crop_keeps_detector_pixels():
    part = xi.crop(made().to_dataset(), y=(4, 9), x=(20, 29))
    assert part.y.values.tolist() == [4, 5, 6, 7, 8]
    assert part.image.shape == (7, 5, 9)
    assert xi.crop(part, y=(5, 6)).y.values.tolist() == [5]


def test_a_crop_of_frames_without_coordinates_numbers_its_pixels():
    bare = xr.DataArray(np.arange(2 * 12 * 15).reshape(2, 12, 15), dims=("time", "y", "x"))
    part = xi.crop(bare, y=(3, 9), x=(4, 11))
    assert part.y.values.tolist() == [3, 4, 5, 6, 7, 8]
    assert part.x.values.tolist() == [4, 5, 6, 7, 8, 9, 10]
    np.testing.assert_array_equal(part, bare[:, 3:9, 4:11])
    np.testing.assert_array_equal(xi.crop(part, y=(5, 7), x=(9, 11)), bare[:, 5:7, 9:11])
    only = xi.crop(bare, x=(2, 5))
    assert (only.y.size, only.x.values.tolist()) == (12, [2, 3, 4])


def test_a_crop_of_a_dataset_is_of_whatever_lies_on_the_detector():
    pixels = np.arange(6).reshape(2, 3)
    part = xi.crop(xr.Dataset({"mask": (("y", "x"), pixels), "current": ("time", [7.0])}), x=(1, 3))
    np.testing.assert_array_equal(part["mask"], [[1, 2], [4, 5]])
    assert (part.x.values.tolist(), part.current.values.tolist()) == ([1, 2], [7.0])


@pytest.mark.parametrize("bounds", [(4, 32), (5, 5), (9, 2)])
def test_crop_off_the_detector_is_refused(bounds):
    with pytest.raises(xi.RoiError, match="crop of y"):
        xi.crop(made(), y=bounds)


# -- the recipe as a value --------------------------------------------------------------------------------------------


def test_recipes_are_equal_by_content():
    image = made()
    one, same = (xi.Correction(median=3, flatfield=flat_for(image)) for _ in range(2))
    other = xi.Correction(median=3, flatfield=flat_for(image, seed=2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one == xi.Correction(median=3, flatfield=flat_for(image).assign_attrs(source="elsewhere"))
    assert one != "something else"
    assert pickle.loads(pickle.dumps(one)) == one
    assert dask.base.tokenize(one) == dask.base.tokenize(same) != dask.base.tokenize(other)


def test_json_holds_no_pixels():
    document = json.loads(xi.Correction(median=3, flatfield=flat_for(made()), background=CORNER).to_json())
    assert document["median"] == 3
    assert document["flatfield"]["source"] == "flatfield1"
    assert set(document["flatfield"]) == {"source", "fingerprint"}
    assert document["background"]["mode"] == "divide"


@pytest.mark.parametrize("size", [2, 1, 0, -3, 3.0, True])
def test_size_of_a_median_is_odd(size):
    with pytest.raises(xi.CorrectionError, match="odd"):
        xi.Correction(median=size)


def test_flat_needs_rows_and_columns():
    with pytest.raises(xi.CorrectionError, match="dims"):
        xi.Correction(flatfield=xr.DataArray(np.ones(4), dims="y"))


def test_a_flat_field_of_another_detector_or_threshold_is_said():
    facts = {"units": "counts", "detector_serial": "1-0884", "threshold_energy": 5000.0}
    image = xr.DataArray(np.ones((2, 4, 5), "int32"), dims=("time", "y", "x"), attrs=facts)
    flat = xr.DataArray(
        np.ones((4, 5)), dims=("y", "x"), attrs={**facts, "threshold_energy": 7000.0, "source": "flat1"}
    )
    with pytest.warns(xi.XinsituWarning, match=r"flat1 was taken with a threshold of 7000\.0, the frames with 5000\.0"):
        xi.correct(image, xi.Correction(flatfield=flat))
    with pytest.warns(xi.XinsituWarning, match="the detector 1-0103, the frames with 1-0884"):
        xi.correct(image, xi.Correction(flatfield=flat.assign_attrs(threshold_energy=5000.0, detector_serial="1-0103")))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"normalise": 3}, r"normalise must be the name of a coordinate, or a pair .*, not 3"),
        ({"normalise": ""}, "normalise must be the name"),
        ({"normalise": ("monitor", "x")}, "the reference of normalise must be a positive number, not 'x'"),
        ({"normalise": (1, 2)}, "normalise must be the name"),
        ({"flatfield": "flat1"}, r"flatfield must be an array .*open_flatfield\(folder\), not 'flat1'"),
        ({"flatfield": np.ones((4, 5), complex)}, "flatfield must hold real numbers"),
        ({"mask": [True, False]}, r"mask must be an array .*e\.g\. read_mask\(path\), not list"),
        ({"mask": [[True], [True, False]]}, "mask must be an array"),
        ({"mask": [["a", "b"]]}, "mask must hold real numbers"),
        ({"median": "3"}, "the size of a median must be an odd number from 3 on, not '3'"),
        ({"median": 3, "threshold": "5"}, "threshold must be a positive number, not '5'"),
        ({"background": (1, 2)}, r"background must be a Background, e\.g\. .*, not \(1, 2\)"),
        ({"count_rate": "x"}, "count_rate must be a positive number, not 'x'"),
        ({"count_rate": np.nan}, "count_rate must be a positive number, not nan"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(wrong, said):
    with pytest.raises(xi.CorrectionError, match=f"^{said}") as fault:
        xi.Correction(**wrong)
    assert "\n" not in str(fault.value)


def test_a_median_that_sees_more_than_the_frame_from_each_pixel_is_refused():
    image = made((3, 5, 7))
    assert xi.correct(image, xi.Correction(median=15)).shape == image.shape
    for size in (17, 99_999_999_999):
        with pytest.raises(xi.CorrectionError, match=rf"^a median of {size} x {size} pixels is larger .*, 5 x 7$"):
            xi.correct(image, xi.Correction(median=size))


def test_a_full_pixel_of_the_files_own_mask_is_dead_and_others_are_full():
    """The highest number of 16 bits, where a cut-off is known, says nothing only in a pixel that the file calls bad."""
    pixels = np.full((2, 6, 7), 9, "u2")
    pixels[:, 2, 3] = pixels[:, 4, 5] = 65535
    pixels[0, 1, 1] = 65534
    mask = np.zeros((6, 7), bool)
    mask[2, 3] = mask[1, 1] = mask[0, 6] = True
    frames = xr.DataArray(
        pixels, {"mask": (("y", "x"), mask)}, ("time", "y", "x"), attrs={"units": "counts", "count_cutoff": 60000}
    )
    for image in (frames, frames.chunk(time=1)):
        found = xi.correct(image, xi.Correction()).values
        assert np.argwhere(np.isnan(found)).tolist() == [[0, 2, 3], [1, 2, 3]]
        assert found[:, 4, 5].tolist() == [65535, 65535]
        assert found[0, 1, 1] == 65534
        assert (found[:, 0, 6] == 9).all()


@pytest.mark.parametrize("lazy", [False, True])
def test_frames_without_beam_say_nothing_of_the_noise_of_the_others(lazy):
    """Where some frames have a background of 0 they are NaN; the others' is what its counts say."""
    counts = 3 * FEW_COUNTS  # in the region, of each frame with beam; with as many dark ones it would seem to be few
    frames = np.zeros((8, 12, 16), "int32")
    frames[::4, :4, :4] = counts // 16
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    recipe = xi.Correction(background=xi.Background(y=(0, 4), x=(0, 4), mode="divide"))
    with pytest.warns(xi.XinsituWarning) as heard:
        xi.correct(image.chunk({"time": 3}) if lazy else image, recipe).compute()
    assert ["background is zero in 6 of 8 frames" in str(one.message) for one in heard] == [True]
