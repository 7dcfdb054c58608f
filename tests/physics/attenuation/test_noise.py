"""Noise of frames of one level and of smooth curves, by hand: at the thresholds, and where errors lack."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from xinsitu.physics.attenuation.broken_lines import branch
from xinsitu.physics.attenuation.counts import Counts
from xinsitu.physics.attenuation.factors import (
    _DOUBT,
    _SMOOTH,
    _scatter,
    common_factor,
    end_points,
    exceeds,
    level_noise,
    smooth_noise,
)  # fmt: skip
from xinsitu.physics.attenuation.transitions import Transition

N = 400


def noise(sigma: float, rois: int = 1, seed: int = 0) -> np.ndarray:
    return 100 + np.random.default_rng(seed).normal(0.0, sigma, (N, rois))


def robust(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Scatter of third differences of each ROI, in units of their errors."""
    steps = values[3:] - 3 * values[2:-1] + 3 * values[1:-2] - values[:-3]
    spread = np.sqrt(errors[3:] ** 2 + 9 * errors[2:-1] ** 2 + 9 * errors[1:-2] ** 2 + errors[:-3] ** 2)
    return np.median(np.abs(steps / spread), axis=0) * 1.4826


def test_without_errors_the_noise_is_that_of_third_differences():
    values = noise(30.0, 2) + np.arange(N)[:, None] ** 2 / 100
    found = smooth_noise(values, np.full((N, 2), np.nan))
    each = robust(values, np.ones((N, 2)))
    away = (values[3:] - 3 * values[2:-1] + 3 * values[1:-2] - values[:-3]) / each / np.sqrt(20)
    together = 1.4826 * np.median(np.abs(away.sum(axis=1) / np.sqrt(2)))
    assert together < 1 + _DOUBT / np.sqrt(N)
    np.testing.assert_allclose(found, np.broadcast_to(each, (N, 2)), rtol=1e-12)
    assert found[0] == pytest.approx([30, 30], rel=0.15)


@pytest.mark.parametrize("larger", [0.5, 1.0, 3.0])
def test_errors_that_are_given_are_enlarged_only_where_frames_scatter_more(larger):
    values, errors = noise(2.0 * larger), np.full((N, 1), 2.0)
    each = robust(values, errors)[0]
    found = smooth_noise(values, errors)
    assert (each > 1 + _DOUBT / np.sqrt(N)) == (larger == 3.0)
    np.testing.assert_allclose(found, 2.0 * (each if larger == 3.0 else 1.0), rtol=1e-12)


@pytest.mark.parametrize(("side", "enlarged"), [(0.999, False), (1.001, True)])
def test_the_scatter_that_is_doubted_begins_where_it_says(side, enlarged):
    values = noise(1.0)
    wanted = (1 + _DOUBT / np.sqrt(N)) * side
    errors = np.full((N, 1), robust(values, np.ones((N, 1)))[0] / wanted)
    np.testing.assert_allclose(smooth_noise(values, errors) / errors, wanted if enlarged else 1.0, rtol=1e-9)


@pytest.mark.parametrize("common", [0.0, 1.5])
def test_what_the_beam_adds_to_all_rois_is_added(common):
    rng = np.random.default_rng(3)
    values = noise(1.0, 3, seed=1) + common * rng.normal(0.0, 1.0, (N, 1))
    errors = np.ones((N, 3))
    found = smooth_noise(values, errors)
    each = robust(values, errors)
    scale = np.where(each > 1 + _DOUBT / np.sqrt(N), each, 1.0)
    away = (values[3:] - 3 * values[2:-1] + 3 * values[1:-2] - values[:-3]) / scale / np.sqrt(20)
    together = min(1.4826 * np.median(np.abs(away.sum(axis=1) / np.sqrt(3))), np.sqrt(3))
    flicker = together if together > 1 + _DOUBT / np.sqrt(N) else 1.0
    assert (flicker > 1) == (common > 0)
    np.testing.assert_allclose(found, np.broadcast_to(scale * flicker, (N, 3)), rtol=1e-12)


def test_all_rois_that_scatter_as_one_add_no_more_than_the_root_of_their_number():
    values = np.repeat(noise(1.0), 4, axis=1)
    each = robust(values, np.ones((N, 4)))[0]
    scale = each if each > 1 + _DOUBT / np.sqrt(N) else 1.0
    np.testing.assert_allclose(smooth_noise(values, np.ones((N, 4))), scale * 2.0, rtol=0.05)
    assert (smooth_noise(values, np.ones((N, 4))) <= scale * 2.0 + 1e-12).all()


def test_frames_without_an_error_have_that_of_their_neighbours():
    values, errors = noise(2.0), np.full((N, 1), 2.0)
    errors[::2] = np.nan
    np.testing.assert_allclose(smooth_noise(values, errors), 2.0, rtol=1e-12)
    np.testing.assert_allclose(level_noise(values, errors), 2.0, rtol=1e-12)


def test_frames_of_the_error_zero_are_as_sure_as_the_surest_and_no_surer():
    values, errors = noise(0.1), np.full((N, 1), 2.0)
    errors[: 2 * _SMOOTH + 50] = 0.0
    errors[-5] = 1.5
    assert set(smooth_noise(values, errors)[:20, 0].tolist()) == {1.5}
    assert set(level_noise(values, errors)[:20, 0].tolist()) == {1.5}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_few_frames_the_noise_is_their_standard_deviation(n):
    values = noise(1.0)[:n]
    alone = np.full((n, 1), np.nan)
    wanted = np.nan if n == 1 else values.std(ddof=1)
    np.testing.assert_allclose(smooth_noise(values, alone), np.full((n, 1), wanted), rtol=1e-12)
    np.testing.assert_allclose(smooth_noise(values, np.full((n, 1), 2.0)), 2.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("scatter", "steps", "above"),
    [(1.1733, 100, True), (1.1731, 100, False), (2.7321, 1, True), (2.7320, 1, False), (9.0, 0, False)],
)
def test_a_scatter_is_above_one_by_two_of_its_own_errors(scatter, steps, above):
    """1 + 2 sqrt(0.75 / steps)."""
    assert bool(exceeds(scatter, steps)) is above


def test_level_noise_of_three_frames_and_of_two():
    three, two = np.array([[1.0], [4.0], [2.0]]), np.array([[1.0], [4.0]])
    np.testing.assert_allclose(level_noise(two), 3 / np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(level_noise(three), np.sqrt((9 + 4) / 2 / 2), rtol=1e-12)
    four = np.array([[1.0], [4.0], [2.0], [7.0]])  # steps of 3, -2 and 5, less their mean of 2
    np.testing.assert_allclose(level_noise(four), np.sqrt((1 + 16 + 9) / 2 / (3 - 1 / 3)), rtol=1e-12)


@pytest.mark.parametrize(("high", "low"), [(0.0, 5.0), (5.0, 0.0), (-1.0, 5.0), (0.0, 0.0)])
def test_end_points_without_counts_say_nothing(high, low):
    ratio, variance = end_points((np.array([high]), np.array([1.0])), (np.array([low]), np.array([1.0])))
    assert np.isnan(ratio).all()
    assert np.isnan(variance).all()


def test_end_points_of_ratios_may_be_small():
    ratio, variance = end_points((np.array([0.5]), np.array([0.05])), (np.array([0.25]), np.array([0.05])))
    assert ratio == pytest.approx(np.log(2))
    assert variance == pytest.approx(0.1**2 + 0.2**2)


def test_small_errors_are_averaged_as_large_ones():
    """Ratios have errors far below 1; only where all neighbours have none is the smallest taken."""
    values = noise(0.001)
    errors = np.where(np.arange(N) % 2, 0.5, 0.25)[:, None]
    found = smooth_noise(values, errors)[_SMOOTH:-_SMOOTH, 0]
    four, five = (np.sqrt((ones * 0.25 + (9 - ones) * 0.0625) / 9) for ones in (4, 5))
    np.testing.assert_allclose(found, np.where(np.arange(N)[_SMOOTH:-_SMOOTH] % 2, five, four), rtol=1e-12)


def test_each_roi_has_its_own_factor_with_its_own_error():
    """``sigma = factor sqrt(var ln factor)``."""
    found = common_factor(np.log([4.0, 5.0]), np.array([0.01, 0.04]), ["A", "B"], method="mean")
    assert found.rois["A"] == pytest.approx((4.0, 0.4))
    assert found.rois["B"] == pytest.approx((5.0, 1.0))


@pytest.mark.parametrize("frames", [3, 4, 300])
def test_a_roi_that_does_not_vary_has_no_noise_and_spoils_no_other(frames):
    noise = np.random.default_rng(1).normal(100, 3, frames)
    values = np.stack([np.full(frames, 7.0), noise], axis=1)
    found = smooth_noise(values, np.full((frames, 2), np.nan))
    alone = smooth_noise(noise[:, None], np.full((frames, 1), np.nan))
    np.testing.assert_allclose(found, np.concatenate([0 * alone, alone], axis=-1))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("given", [False, True])
def test_frames_too_few_for_third_differences_have_their_standard_deviation_or_errors(n, given):
    values = np.array([[4.0, 100.0], [9.0, 130.0], [5.0, 70.0]])[:n]
    errors = np.array([[2.0, np.nan]] * n) if given else np.full((n, 2), np.nan)
    spread = np.array([np.sqrt(((one - one.mean()) ** 2).sum() / (n - 1)) if n > 1 else np.nan for one in values.T])
    wanted = np.where([given, False], 2.0, spread)
    np.testing.assert_allclose(smooth_noise(values, errors), np.broadcast_to(wanted, (n, 2)), rtol=1e-12)


def test_four_frames_have_a_third_difference():
    values = np.array([[4.0, 100.0], [9.0, 130.0], [5.0, 70.0], [8.0, 20.0]])
    away = np.abs(values[3] - 3 * values[2] + 3 * values[1] - values[0]) / np.sqrt(20)
    np.testing.assert_allclose(smooth_noise(values, np.full((4, 2), np.nan))[0], 1.4826 * away, rtol=1e-12)


@pytest.mark.parametrize("n", range(7))
@pytest.mark.parametrize("lost", [(), (0,), (2,), (1, 4)])
def test_the_scatter_of_frames_is_that_of_their_differences_less_their_mean(n, lost):
    """In units of their errors; of one or two differences, the root of their mean square."""
    rng = np.random.default_rng(n)
    values, errors = rng.normal(50, 4, n), rng.uniform(1, 3, n)
    values[[at for at in lost if at < n]] = np.nan
    seen = [(one, error) for one, error in zip(values, errors, strict=True) if np.isfinite(one)]
    steps = [(b - a) / np.sqrt(e**2 + f**2) for (a, e), (b, f) in pairwise(seen)]
    if not steps:
        assert np.isnan(_scatter(values, errors))
        return
    count, mean = len(steps), sum(steps) / len(steps)
    square = sum(s**2 for s in steps) / count
    if count > 2:
        square = sum((s - mean) ** 2 for s in steps) / (count - 1 / count)
    assert _scatter(values, errors) == pytest.approx(np.sqrt(square), rel=1e-12)
    assert _scatter(values, errors * 0) == 0.0


def test_a_side_of_a_step_is_fitted_once_for_its_noise():
    """What is asked for again is there; another end, kind of curve or noise is not that one."""
    levels = np.where(np.arange(80) < 40, 8000.0, 1000.0)[:, None] * [1.0, 0.5]
    values = np.random.default_rng(3).poisson(levels).astype(float)
    time = np.datetime64("2021-03-04", "ns") + np.arange(80) * np.timedelta64(1, "s")
    series = {"intensity": (("time", "roi"), values), "intensity_errors": (("time", "roi"), np.sqrt(values))}
    whole, _ = Counts.read(xr.Dataset(series, {"time": time, "roi": ["A", "B"]}), None)
    step = Transition(39, 40, 0, 80)
    near = whole.around(step)
    side = near.side(10, 40, turn=-1, alike=False)
    assert near.side(10, 40, turn=-1, alike=False) is side
    truth = branch(values[10:40][::-1], near.noise[10:40][::-1])
    np.testing.assert_array_equal(side.level, truth.level)
    others = [near.side(10, 40, turn=1, alike=False), near.side(10, 39, turn=-1, alike=False)]
    others += [near.side(10, 40, turn=-1, alike=True), whole.around(step).side(10, 40, turn=-1, alike=False)]
    assert all(other is not side for other in others)
    assert all((other.covariance != side.covariance).any() for other in others[:3])
