"""The compiled kernel of the noise of profiles gives the bits of the one in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xinsitu import native
from xinsitu.kernels import counting
from xinsitu.kernels.width_noise import (
    _behind_median_by_numpy,
    _correlated_by_numpy,
    behind_median,
    correlated,
)

needs_kernel = pytest.mark.skipif(
    native.function("behind_median") is None, reason="the compiled kernels are not built here: python hatch_build.py"
)


@st.composite
def noisy(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Profiles, flat or steep, and variances, some of which are none or not known."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 140))
    profile = np.cumsum(rng.normal(0, draw(st.sampled_from([0.0, 1.0, 40.0, 1e6])), shape), axis=1)
    variance = rng.gamma(2.0, draw(st.sampled_from([1e-3, 1.0, 1e4])), shape)
    variance[rng.random(shape) < draw(st.sampled_from([0.0, 0.1]))] = 0
    for unknown in draw(st.sets(st.sampled_from([np.nan, np.inf]))):
        variance[rng.random(shape) < 0.05] = unknown
        profile[rng.random(shape) < 0.02] = unknown
    return profile, variance


@needs_kernel
@settings(max_examples=100, deadline=None)
@given(noisy(), st.integers(0, 99), st.sampled_from([3, 5, 7]))
@example((np.zeros((1, 1)), np.full((1, 1), np.inf)), 2, 3)  # no lines across, and too few bins for the kernel
def test_noise_behind_a_median_has_the_bits_of_numpy(drawn, seed, size):
    profile, variance = drawn
    rng = np.random.default_rng(seed)
    per_count, lines = rng.uniform(0.5, 1.6, len(profile)), rng.choice([0.0, 1e-300, 3.5, 40.0, np.nan], len(profile))
    per_count[rng.random(len(profile)) < 0.1] = np.nan
    slow = _behind_median_by_numpy(profile, variance, per_count, lines, size)
    fast = behind_median(profile, variance, per_count, lines, size)
    np.testing.assert_array_equal(fast.variance, slow.variance)
    np.testing.assert_array_equal(fast.neighbours, slow.neighbours)


@needs_kernel
@settings(max_examples=100, deadline=None)
@given(noisy(), noisy(), st.booleans())
def test_sums_over_correlated_bins_have_the_bits_of_numpy(drawn, other, with_neighbours):
    frames, bins = min(len(drawn[0]), len(other[0])), min(drawn[0].shape[1], other[0].shape[1])
    by_bin, variance = (part[:frames, :bins] for part in drawn)
    neighbours = np.clip(other[1][:frames, :bins], 0, 1) if with_neighbours else None
    slow = _correlated_by_numpy(by_bin, variance, neighbours)
    fast = correlated(by_bin, variance, neighbours)
    np.testing.assert_array_equal(fast[0], slow[0])
    np.testing.assert_array_equal(fast[1], slow[1])


def test_a_sum_of_correlated_bins_scatters_as_is_said():
    """Noise that a running mean has correlated: of two bins in three, and of one in three."""
    rng = np.random.default_rng(0)
    plain = rng.normal(0, 1, (40_000, 12))
    together = plain[:, 1:] + plain[:, :-1]  # neighbours have half their variance in common, others nothing
    weights = np.linspace(-1, 2, 11)
    alone, (beside, _) = correlated(weights[None], np.full((1, 11), 2.0), np.full((1, 11), 0.5))
    assert np.isclose((together @ weights).var(), alone[0] + beside[0], rtol=0.03)


@needs_kernel
@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(0, 1100), st.sampled_from([counting.VARIANCE_OF_SUM, counting.VARIANCE_OF_BIN])
)
def test_lines_between_knots_have_the_bits_of_numpy(seed, number, values):
    knots = counting.WEIGHTED_MEAN
    drawn = np.random.default_rng(seed).lognormal(0.7, 1.5, number)
    at = np.concatenate([drawn, knots, np.nextafter(knots, 0), [np.nan, np.inf, -np.inf, 0.0, -5.0]])
    np.testing.assert_array_equal(counting.interpolated(at, knots, values), np.interp(at, knots, values))
    np.testing.assert_array_equal(counting.interpolated(at[-7], knots, values), np.interp(at[-7], knots, values))
