"""The arithmetic against scipy, NumPy and numbers that one can do in the head."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xinsitu import kernels

DETECTOR_TYPES = ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float32", "float64", ">i4", ">u2"]


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("dtype", DETECTOR_TYPES)
@given(data=st.data())
@pytest.mark.thorough("int32-3", "uint16-5", "float32-7", ">i4-3", ">u2-5")
def test_median_is_that_of_scipy_bit_for_bit(dtype, size, data):
    kind = np.dtype(dtype)
    top = 2**24 if kind.itemsize >= 4 else np.iinfo(kind).max - 1
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12))
    frames = data.draw(hnp.arrays("int64", shape, elements=st.integers(0, top))).astype(kind)
    expected = scipy.ndimage.median_filter(frames, size=(1, size, size), mode="reflect")
    result = kernels.median2d(frames, size, dtype=np.float64)
    np.testing.assert_array_equal(result, expected.astype("float64"))


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float64"])
@pytest.mark.parametrize("size", [3, 5])
def test_median_of_numbers_beyond_float32_is_exact(dtype, size):
    frames = np.random.default_rng(1).integers(2**24, 2**30, (2, 17, 13)).astype(dtype)
    expected = scipy.ndimage.median_filter(frames, size=(1, size, size), mode="reflect")
    np.testing.assert_array_equal(kernels.median2d(frames, size, dtype=np.float64), expected)


@pytest.mark.parametrize("size", [3, 5])
def test_median_of_fractions_is_that_of_scipy(size):
    frames = np.random.default_rng(2).normal(size=(2, 30, 41)).astype("float32")
    expected = scipy.ndimage.median_filter(frames, size=(1, size, size), mode="reflect")
    np.testing.assert_array_equal(kernels.median2d(frames, size), expected)


@pytest.mark.parametrize("size", [3, 5, 7])
@given(data=st.data())
def test_masked_median_is_nanmedian_of_the_neighbours(size, data):
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=3, max_side=9))
    frames = data.draw(hnp.arrays("int32", shape, elements=st.integers(-2, 30)))
    bad = kernels.invalid_pixels(frames)
    result = kernels.median2d(frames, size, bad=bad)
    values = kernels.as_floats(frames, np.float64, bad)
    reach = size // 2
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2)).reshape(*shape, -1)
    flat = np.where(np.isnan(windows).all(axis=-1, keepdims=True), 0.0, windows)
    expected = np.where(np.isnan(values), np.nan, np.nanmedian(flat, axis=-1))
    np.testing.assert_array_equal(result, expected.astype("float32"))


@pytest.mark.parametrize(("dtype", "code"), [("int16", -1), ("int32", -2), ("uint16", 65535), ("uint32", 2**32 - 1)])
def test_codes_of_bad_pixels_are_found(dtype, code):
    frames = np.zeros((1, 2, 3), dtype)
    assert kernels.invalid_pixels(frames) is None
    frames[0, 1, 2] = code
    found = kernels.invalid_pixels(frames)
    assert found is not None
    assert found.sum() == 1
    assert found[0, 1, 2]


def test_codes_survive_a_conversion_to_floats():
    frames = np.array([[[1.0, -1.0, np.nan]]])
    np.testing.assert_array_equal(kernels.invalid_pixels(frames), [[[False, False, True]]])
    np.testing.assert_array_equal(kernels.invalid_pixels(frames, np.dtype("int32")), [[[False, True, True]]])


def test_base_is_the_mean_of_the_outermost_bins():
    profile = np.arange(40.0)[None] ** 2
    assert kernels.edge_base(profile)[0] == np.mean([0, 1, 38**2, 39**2])


@given(
    frames=hnp.arrays("float64", st.tuples(*[st.integers(1, 8)] * 3), elements=st.floats(0, 1e6)),
    first=st.integers(0, 7),
)
def test_profiles_do_not_depend_on_what_is_in_the_same_block(frames, first):
    along_y, along_x = kernels.profiles(frames)
    first = min(first, len(frames) - 1)
    alone_y, alone_x = kernels.profiles(frames[first : first + 1].copy())
    np.testing.assert_array_equal(alone_y[0], along_y[first])
    np.testing.assert_array_equal(alone_x[0], along_x[first])


def test_unsigned_twins_of_both_codes_say_nothing() -> None:
    frames = np.array([[[5, 2**32 - 1, 2**32 - 2, 2**32 - 3]]], dtype="uint32")
    assert kernels.invalid_pixels(frames).tolist() == [[[False, True, True, False]]]
    assert kernels.invalid_pixels(np.array([[65534, 65535]], dtype="uint16")).tolist() == [[False, True]]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 1501])
def test_weighted_sums_are_those_in_lanes_to_the_last_bit(size):
    rng = np.random.default_rng(size)
    rows, terms = rng.normal(0, 1, (5, size)) * 10.0 ** rng.integers(-6, 6, size), rng.normal(0, 1, (3, size))
    rows[rows > 1] = 0.0
    rows[3] = -0.0
    rows[4, size // 2 :] = np.nan
    expected = np.stack([kernels.sum_in_lanes(rows * term) for term in terms], axis=1)
    np.testing.assert_array_equal(kernels.weighted_sums(rows, terms), expected)
    every_second = np.repeat(rows, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(kernels.weighted_sums(every_second, terms), expected)
