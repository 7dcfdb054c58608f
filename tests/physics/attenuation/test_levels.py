"""Levels beside a change: the doubt that a pause adds, and sides of which little is known."""

from __future__ import annotations

import numpy as np
import pytest

from xinsitu.physics.attenuation.levels import log_ratios, side, window_factor


@pytest.mark.parametrize(("pause", "rate"), [(12.0, 0.004), (18.0, -0.006)])
def test_the_doubt_of_a_pause_is_that_of_growth_that_stopped_somewhere_in_it(pause: float, rate: float) -> None:
    """Growth goes on for any part of a pause without frames: the factor scatters by its stated error."""
    rng, noise = np.random.default_rng(0), 1e-3
    frames, ratios, stated = np.arange(10.0), [], []
    for part in rng.uniform(0, 1, 300):
        before = 1000 * (1 + rate * (frames - 9))
        after = 1000 * (1 + rate * (1 + part * (pause - 1) + frames)) / 8
        values = np.r_[before, after][:, None] + noise * rng.standard_normal((20, 1))
        found = window_factor(values, np.full_like(values, noise), 9, 10, ["A"], window=10, gap=pause, method="lines")
        ratios.append(np.log(found.factor / 8))
        stated.append(found.factor_errors / found.factor)
    rms = float(np.sqrt(np.mean(np.square(ratios))))
    assert float(np.median(stated)) == pytest.approx(rms, rel=0.15)
    assert rms > 0.015


def test_without_a_pause_there_is_no_such_doubt() -> None:
    frames = np.arange(10.0)
    values = np.r_[1000 + 4 * frames, (1000 + 4 * (frames + 10)) / 8][:, None]
    found = window_factor(values, np.full_like(values, 1e-3), 9, 10, ["A"], window=10, gap=1.0, method="lines")
    assert found.factor == pytest.approx(8, rel=1e-5)
    assert found.factor_errors / found.factor < 1e-5


@pytest.mark.parametrize("line", [True, False])
def test_a_side_with_one_known_frame_is_that_frame(line: bool) -> None:
    values, noise = np.full((6, 2), np.nan), np.full((6, 2), 3.0)
    values[4] = 70.0, 90.0
    values[:, 1] = 90.0 + 2 * np.arange(6)
    found = side(values, noise, np.arange(6), np.arange(6) - 5.5, line=line)
    assert (found.level[0], found.slope[0], found.variance[0], found.slope_errors[0]) == (70.0, 0.0, 9.0, 0.0)
    expected = np.polyfit(np.arange(6) - 5.5, values[:, 1], 1)[1] if line else values[:, 1].mean()
    assert found.level[1] == pytest.approx(expected)


def test_two_known_frames_have_their_mean_and_none_has_no_level() -> None:
    values = np.array([[10.0, np.nan], [np.nan, np.nan], [20.0, np.nan]])
    found = side(values, np.full_like(values, 4.0), np.arange(3), np.arange(3) - 2.5, line=True)
    assert (found.level[0], found.variance[0], found.slope[0]) == (15.0, 8.0, 0.0)
    assert np.isnan(found.level[1])
    assert np.isnan(found.variance[1])


def test_a_change_of_which_one_frame_is_known_behind() -> None:
    values = np.r_[np.full(10, 800.0), [np.nan] * 4, 100.0][:, None]
    first, second = (
        side(values[:10], np.full((10, 1), 20.0), np.arange(10), np.arange(10) - 9.5, line=True),
        side(values[10:], np.full((5, 1), 5.0), np.arange(10, 15), np.arange(5) + 0.5, line=True),
    )
    ratio, variance = log_ratios(first, second)
    assert np.exp(ratio[0]) == pytest.approx(8)
    assert variance[0] > (5 / 100) ** 2
