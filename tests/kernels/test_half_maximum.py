"""The compiled kernel of the widths follows the one in NumPy in every decision."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from xinsitu import native
from xinsitu.kernels import half_maximum as found_in
from xinsitu.kernels.half_maximum import (
    _ambiguous_by_numpy,
    _by_numpy,
    _peaks_by_numpy,
    ambiguous,
    peaks,
    rivals,
)
from xinsitu.kernels.sums import sum_in_lanes

needs_kernel = pytest.mark.skipif(
    native.function("half_maximum") is None, reason="the compiled kernels are not built here: python hatch_build.py"
)


@st.composite
def profiles(draw: st.DrawFn) -> np.ndarray:
    """Peaks of any height and width, at the border or beyond it, on any ground; flat ones; ones with unknown bins."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    frames, bins = draw(st.integers(1, 12)), draw(st.integers(1, 130))
    place, width = rng.uniform(-3, bins + 3, (frames, 1)), rng.uniform(0.3, 1 + bins / 2, (frames, 1))
    height = rng.choice([0.0, 2.0, 40.0, 9e3], (frames, 1))
    counts = rng.poisson(
        height * np.exp(-(((np.arange(bins) - place) / width) ** 2)) + draw(st.sampled_from([0, 1, 25]))
    )
    values = counts.astype(float) * draw(st.sampled_from([1.0, 0.37, -1.0]))
    if draw(st.booleans()):
        values = np.round(values / 7)  # many bins of one height
    if draw(st.integers(0, 5)) == 0:
        values[rng.random(values.shape) < 0.2] = np.nan
    return values


@pytest.mark.thorough
@needs_kernel
@settings(max_examples=300, deadline=None)
@given(profiles(), st.sampled_from([0.0, 1.0, 25.0]), st.sampled_from([0.5, 0.1, 0.8]))
def test_the_kernel_decides_as_numpy_does(values, base, level):
    """Windows, peaks and crossings are the same; numbers but for the last digit, as exp and pow are each library's."""
    bases = np.full(len(values), base)
    fast = found_in(values, bases, level)
    with np.errstate(all="ignore"):
        slow = _by_numpy(np.nan_to_num(values - bases[:, None]), level)
    for name, one, other in zip(fast._fields, fast, slow, strict=True):
        if name in ("peak", "smooth"):
            np.testing.assert_array_equal(one, other, err_msg=name)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13, err_msg=name)


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(profiles(), st.sampled_from([0.0, 25.0]))
def test_peaks_alone_are_those_of_the_widths(values, base):
    bases = np.full(len(values), base)
    found = peaks(values, bases)
    np.testing.assert_array_equal(found, found_in(values, bases).peak)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, _peaks_by_numpy(np.nan_to_num(values - bases[:, None])))


@pytest.mark.thorough
@needs_kernel
@settings(max_examples=300, deadline=None)
@given(profiles(), profiles(), st.sampled_from([0.3, 1.0, 25.0]))
def test_the_kernel_doubts_as_numpy_does(one, other, ground):
    """Of one peak and of two, on each other and beside each other."""
    bins, frames = min(one.shape[1], other.shape[1]), min(len(one), len(other))
    values = np.nan_to_num(np.abs(one[:frames, :bins]) + np.abs(other[:frames, :bins]))
    found = found_in(values, np.zeros(frames))
    with np.errstate(all="ignore"):
        slow = _ambiguous_by_numpy(found, values + ground, 0.5)
    np.testing.assert_array_equal(ambiguous(found, values + ground), slow)


@pytest.mark.thorough
@settings(max_examples=200, deadline=None)
@given(profiles(), st.sampled_from([0.0, 1e-3, 1.0, 30.0]))
def test_bins_far_below_the_top_are_left_out_of_its_rivals_to_the_same_bits(values, noise):
    values, spread = np.nan_to_num(values), np.full(len(values), noise)
    top = values.max(axis=1)
    with np.errstate(all="ignore"):
        far = np.where(noise > 0, np.square(top[:, None] - values) / (4 * noise**2), np.inf)
        expected = np.maximum(sum_in_lanes(np.exp(-far)), 1)
    np.testing.assert_array_equal(rivals(values, top, spread), expected)


@needs_kernel
def test_frames_need_not_lie_in_a_row():
    values = np.random.default_rng(3).poisson(30, (8, 40)).astype(float)
    base = np.zeros(4)
    np.testing.assert_array_equal(found_in(values[::2, ::2], base).width, found_in(values[::2, ::2].copy(), base).width)


@pytest.mark.parametrize("width", [9.9, 14.0])
@pytest.mark.parametrize("counts", [5_000, 20_000])
def test_flanks_that_bend_make_no_width_too_large(width, counts):
    bins, ground = np.arange(60), 25.0
    shape = 1 / (1 + (2 * (bins - 29.3) / width) ** 2)
    expected = counts * shape / shape.sum()
    net = np.random.default_rng(1).poisson(expected + ground, (800, 60)) - ground
    found, truth = found_in(net, np.zeros(800)), found_in(expected[None], np.zeros(1)).width[0]
    pulls = (found.width - truth) / np.sqrt((found.width_by_bin**2 * (net + ground)).sum(axis=1))
    assert abs(np.nanmedian(pulls)) < 0.25
    assert abs(np.nanmean(pulls)) < 0.25


@pytest.mark.parametrize("width", [2.0, 4.0, 8.0, 14.0])
@pytest.mark.parametrize("place", [19.7, 20.3, 22.0])
def test_without_noise_the_width_is_that_of_peak_widths(width, place):
    profile = 1000 * np.exp(-4 * np.log(2) * (np.arange(41.0) - place) ** 2 / width**2)
    peak = int(profile.argmax())
    above_zero = np.array([profile[peak]]), np.array([0]), np.array([40])
    (expected,), *_ = scipy.signal.peak_widths(profile, [peak], 0.5, prominence_data=above_zero)
    assert found_in(profile[None], np.zeros(1)).width[0] == pytest.approx(expected, rel=1e-12)


def test_first_crossing_counts_not_the_last():
    found = found_in(np.array([[0.0, 9.0, 0.0, 0.0, 8.0, 10.0, 8.0, 0.0]]), np.zeros(1))
    assert (found.left[0], found.right[0]) == (3 + 5 / 8, 6 + 3 / 8)
