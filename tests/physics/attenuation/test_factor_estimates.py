"""One factor from many ROIs, against the formulas solved by other means; and what an estimate says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from xinsitu.errors import StitchError
from xinsitu.physics.attenuation.factors import FactorEstimate, MedianBias, common_factor, end_points, level_noise


def estimate(factor=0.5, errors=0.01, **rois):
    return FactorEstimate(factor, errors, rois, 3.5, 2, 0.25, "sums")


def paule_mandel(values, variance):
    """Variance with which chi-squared is its degrees of freedom, by Brent's method."""

    def excess(extra):
        weights = 1 / (variance + extra)
        return (weights * (values - np.average(values, weights=weights)) ** 2).sum() - (len(values) - 1)

    return brentq(excess, 0, 1e3, xtol=1e-16, rtol=1e-14)


def test_the_significance_is_the_logarithm_over_its_error_up_or_down():
    for factor in (0.5, 2.0, 8.0):
        assert estimate(factor, 0.02).significance == pytest.approx(abs(np.log(factor)) / (0.02 / factor))
    assert estimate(1.0, 0.02).significance == 0


@pytest.mark.parametrize("up", [1, -1])
def test_rois_are_common_within_three_of_their_errors_and_the_tolerance(up):
    """A ROI that is off by ``3 errors / factor + tolerance`` of the logarithm is the farthest that agrees."""
    reach = 3 * 0.05 + 0.1
    for side, common in ((0.999, True), (1.001, False)):
        factor = 2.0 * np.exp(up * reach * side)
        found = estimate(2.0, 0.5, A=(2.0, 0.1), B=(factor, 0.05 * factor))
        assert found.is_common(0.1) is common
        assert found.is_clear(1.0, 0.1) is common  # its significance is 2.8
        assert not found.is_clear(3.0, 0.1)
    assert estimate(2.0, 0.5).is_clear(estimate(2.0, 0.5).significance, 0.0)


def test_an_estimate_says_what_each_roi_says():
    found = estimate(2.0, 0.1, A=(2.0, 0.125), B=(3.14159, 0.5))
    assert found.disagreement == "the ROIs step differently (A 2.00 ± 0.12, B 3.1 ± 0.5)"
    assert found.evidence() == {
        "method": "sums",
        "chi_squared": 3.5,
        "degrees_of_freedom": 2,
        "spread": 0.25,
        "factors": {"A": {"factor": 2.0, "factor_errors": 0.125}, "B": {"factor": 3.14159, "factor_errors": 0.5}},
    }


def test_the_scatter_of_the_rois_is_that_of_paule_and_mandel():
    values = np.array([0.8, 1.3, np.nan, 0.2, 1.0, 0.7])
    variance = np.array([0.001, 0.004, 0.002, 0.0005, 0.009, np.nan])
    used = np.isfinite(values) & np.isfinite(variance)
    found = common_factor(values, variance, list("ABCDEF"), method="lines")
    extra = paule_mandel(values[used], variance[used])
    weights = 1 / (variance[used] + extra)
    mean = np.average(values[used], weights=weights)
    alone = np.average(values[used], weights=1 / variance[used])
    assert found.factor == pytest.approx(np.exp(mean), rel=1e-9)
    assert found.factor_errors == pytest.approx(np.exp(mean) / np.sqrt(weights.sum()), rel=1e-9)
    assert found.spread == pytest.approx(np.sqrt(extra), rel=1e-9)
    assert found.chi_squared == pytest.approx(((values[used] - alone) ** 2 / variance[used]).sum(), rel=1e-12)
    assert found.degrees_of_freedom == 3
    assert found.method == "lines"
    assert list(found.rois) == ["A", "B", "D", "E"]
    for name, value, var in zip("ABDE", values[used], variance[used], strict=True):
        assert found.rois[name] == pytest.approx((np.exp(value), np.exp(value) * np.sqrt(var)), rel=1e-12)


@pytest.mark.parametrize("rois", [2, 5])
@pytest.mark.parametrize(("side", "spread"), [(0.999, False), (1.001, True)])
def test_what_chi_squared_scatters_by_is_no_disagreement(rois, side, spread):
    """Its standard deviation is the root of twice its degrees of freedom, beyond which ROIs disagree."""
    away = np.linspace(-1, 1, rois)
    away *= np.sqrt(side * (rois - 1 + np.sqrt(2 * (rois - 1))) / (away**2).sum())
    found = common_factor(0.7 + 0.1 * away, np.full(rois, 0.01), list("ABCDE")[:rois], method="sums")
    assert (found.spread > 0) is spread
    assert found.spread == pytest.approx(0.1 * np.sqrt((away**2).sum() / (rois - 1) - 1) if spread else 0, rel=1e-9)
    assert found.factor == pytest.approx(np.exp(0.7), rel=1e-12)


def test_a_lone_roi_stands_for_itself():
    found = common_factor(np.array([0.7]), np.array([0.04]), ["A"], method="sums")
    assert (found.factor, found.factor_errors) == pytest.approx((np.exp(0.7), 0.2 * np.exp(0.7)))
    assert (found.chi_squared, found.degrees_of_freedom, found.spread) == (0, 0, 0)


def test_rois_without_noise_keep_a_finite_weight():
    """A part in 10^9 each; that of two is smaller by the root of two."""
    found = common_factor(np.log([4.0, 4.0]), np.zeros(2), ["A", "B"], method="sums")
    assert found.factor_errors == pytest.approx(4e-9 / np.sqrt(2), rel=1e-6)
    assert found.rois["A"] == pytest.approx((4.0, 4e-9), rel=1e-6)
    unequal = common_factor(np.log([4.0, 4.0]), np.array([0.0, 0.01]), ["A", "B"], method="sums")
    assert unequal.factor_errors == pytest.approx(4e-9, rel=1e-6)


def test_what_is_not_known_of_all_together_more_rois_do_not_make_less():
    """Of one sign it adds up; of signs that cancel it is never less than that of ROIs that have nothing in common."""
    own, rois = 1e-4, 4
    values, variance = np.full(rois, np.log(3.0)), np.full(rois, own)
    names = list("ABCD")
    alike, opposed = np.full(rois, 0.05), np.array([0.05, -0.05, 0.05, -0.05])
    for shared, at_once in (
        ([alike], 0.05**2),
        ([opposed], 0.05**2 / rois),
        ([alike, opposed], 0.05**2 + 0.05**2 / rois),
    ):
        found = common_factor(values, variance, names, method="given", shared=np.array(shared))
        assert found.factor_errors == pytest.approx(3 * np.sqrt(own / rois + at_once), rel=1e-12)
        each = 3 * np.sqrt(own + len(shared) * 0.05**2)
        assert found.rois["B"] == pytest.approx((3.0, each), rel=1e-12)
    lost = np.append(values, np.nan)
    again = common_factor(
        lost, np.append(variance, 1.0), [*names, "E"], method="given", shared=np.append(alike, 9.0)[None]
    )
    assert again.factor_errors == pytest.approx(3 * np.sqrt(own / rois + 0.05**2), rel=1e-12)
    assert list(again.rois) == names


def test_without_a_finite_ratio_there_is_no_factor():
    with pytest.raises(StitchError, match="no ROI has intensities above zero on both sides"):
        common_factor(np.array([np.nan, 1.0]), np.array([1.0, np.inf]), ["A", "B"], method="sums")


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_each_ratio_has_a_name_and_each_name_a_ratio(names):
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is"):
        common_factor(np.log([8.0, 9.0]), np.array([0.01, 0.01]), names, method="end points")


def test_end_points_of_several_rois():
    high, low = (
        (np.array([100.0, 40.0, 7.0]), np.array([10.0, 2.0, 1.0])),
        (
            np.array([10.0, 20.0, -1.0]),
            np.array([1.0, 4.0, 1.0]),
        ),
    )
    ratio, variance = end_points(high, low)
    np.testing.assert_allclose(ratio, [np.log(10), np.log(2), np.nan], rtol=1e-12)
    np.testing.assert_allclose(variance, [0.1**2 + 0.1**2, 0.05**2 + 0.2**2, np.nan], rtol=1e-12)


def test_errors_that_are_known_are_believed_until_frames_scatter_more():
    """Two of its own errors above 1 for 400 frames is ``1 + 2 sqrt(0.75 / 399)``."""
    frames = np.random.default_rng(4).normal(100.0, 1.0, (400, 1))
    steps = np.diff(frames[:, 0])
    scatter = np.sqrt(((steps - steps.mean()) ** 2).sum() / (399 - 1 / 399) / 2)
    limit = 1 + 2 * np.sqrt(0.75 / 399)
    for side, larger in ((0.99995, False), (1.00005, True)):
        errors = np.full((400, 1), scatter / (limit * side))
        np.testing.assert_allclose(level_noise(frames, errors) / errors, limit * side if larger else 1.0, rtol=1e-9)
    gaps = frames.copy()
    gaps[::3] = np.nan
    assert level_noise(gaps, np.full((400, 1), 1.0))[0, 0] == pytest.approx(1.0, abs=0.2)


def test_the_scatter_of_the_sum_is_that_of_the_rois_by_their_weights():
    """Two ROIs of equal weights that scatter by a quarter: that over the root of two, beside the error of the sum."""
    found = estimate(2.0, 0.5, A=(2.0, 0.1), B=(2.2, 0.11)).of_the_sum(estimate(2.1, 0.03))
    assert found.factor == 2.1
    assert found.factor_errors == pytest.approx(np.hypot(0.03, 2.1 * 0.25 / np.sqrt(2)), rel=1e-12)


def test_what_a_median_took_is_that_of_the_frames_that_say_it():
    """Sums as filtered over sums as counted; a part of -1, nothing left of all, says nothing."""
    intensity = np.array([[110.0, 50.0], [90.0, 30.0], [40.0, 20.0], [77.0, 10.0]])
    bias = np.array([[0.1, np.nan], [-0.1, -1.0], [np.nan, -1.0], [np.nan, np.nan]])
    told = MedianBias(intensity, bias, ("a", "b"))._log_bias(slice(0, 4))
    np.testing.assert_allclose(told, [np.log(200 / 200), np.nan], atol=1e-12)
    bias[1:, 1] = 0.0, 0.25, np.nan
    told = MedianBias(intensity, bias, ("a", "b"))._log_bias(slice(0, 4))
    np.testing.assert_allclose(told, [0, np.log(50 / (30 + 16))], atol=1e-12)
