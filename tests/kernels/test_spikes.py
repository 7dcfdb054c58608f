"""What stands out is found; a step, an onset, a maximum, an oscillation and noise of any kind are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import signal

from xinsitu.kernels.spikes import outliers

FRAMES = 600
ROIS = np.array([1.0, 0.6, 0.25])
Make = Callable[[np.random.Generator], np.ndarray]


def found(values: np.ndarray, errors: bool = True) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return outliers(values, np.sqrt(np.maximum(values, 1)) if errors else np.full_like(values, np.nan))


def counted(rng: np.random.Generator, curve: np.ndarray, level: float) -> np.ndarray:
    return rng.poisson(level * curve[:, None] * ROIS).astype(float)


def correlated(rng: np.random.Generator, lag_one: float, spread: float, skewed: bool) -> np.ndarray:
    """A beam that flickers, the same for all ROIs, seen by counting."""
    noise = signal.lfilter([np.sqrt(1 - lag_one**2)], [1, -lag_one], rng.standard_normal(FRAMES + 200))[200:]
    beam = np.exp(spread * noise) if skewed else np.maximum(1 + spread * noise, 0)
    return counted(rng, beam, 1e5)


@pytest.mark.parametrize("lag_one", [0.0, 0.4, 0.8, 0.95])
@pytest.mark.parametrize("spread", [0.01, 0.3])
@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.thorough("False-0.3-0.8", "True-0.01-0.95")
def test_a_beam_that_flickers_is_no_outlier(lag_one: float, spread: float, skewed: bool) -> None:
    rng = np.random.default_rng(int(100 * lag_one + 10 * spread + skewed))
    runs = [
        found(correlated(rng, lag_one, spread, skewed), errors).any() for errors in (True, False) for _ in range(12)
    ]
    assert sum(runs) <= 1


@pytest.mark.parametrize("level", [0.05, 0.7, 3.0, 40.0, 1e5])
@pytest.mark.parametrize("errors", [True, False])
def test_counting_is_no_outlier(level: float, errors: bool) -> None:
    rng = np.random.default_rng(5)
    assert not any(found(rng.poisson(level, (FRAMES, 3)), errors).any() for _ in range(15))


def test_a_top_up_is_no_outlier() -> None:
    rng = np.random.default_rng(6)
    decay = 1 - 0.15 * (np.arange(FRAMES) % 37) / 37
    assert not found(counted(rng, decay, 1e5)).any()


def steps(rng: np.random.Generator) -> np.ndarray:
    curve = np.ones(FRAMES)
    for place in 4 * rng.integers(2, FRAMES // 4 - 2, 6):  # a level of one or two frames is no level
        curve[place:] *= np.exp(rng.uniform(-3, 3))
    return counted(rng, np.clip(curve, 0, 1e3), 1e4)


def short_levels(rng: np.random.Generator) -> np.ndarray:
    """A filter that is in for three frames and more, its edges exposed by parts."""
    curve, at, long = np.ones(FRAMES), int(rng.integers(50, 500)), int(rng.integers(3, 9))
    factor = np.exp(rng.uniform(0.3, 4))
    curve[at : at + long] /= factor
    curve[[at - 1, at + long]] *= rng.uniform(1 / factor, 1, 2)
    return counted(rng, curve, 1e5)


def onset(rng: np.random.Generator) -> np.ndarray:
    t, rate = np.maximum(np.arange(FRAMES) - 300.0, 0), 10 ** rng.uniform(-2.3, -0.3)
    kinds = (
        rate * t,
        np.expm1(np.minimum(rate * t, 7)),
        (rate * t) ** 2,
        5 * -np.expm1(-rate * t),
        -np.minimum(rate * t, 0.99),
    )
    return counted(rng, 1 + kinds[rng.integers(5)], 10 ** rng.uniform(1.3, 5))


def maximum(rng: np.random.Generator) -> np.ndarray:
    width, t = 10 ** rng.uniform(np.log10(2), 2), np.arange(FRAMES) - rng.uniform(200, 400)
    shapes = np.exp(-4 * np.log(2) * (t / width) ** 2), 1 / (1 + 4 * (t / width) ** 2), np.exp2(-2 * np.abs(t) / width)
    return counted(rng, 1 + 10 ** rng.uniform(-1, 2) * shapes[rng.integers(3)], 10 ** rng.uniform(1.3, 5))


def oscillation(rng: np.random.Generator) -> np.ndarray:
    t, period = np.arange(FRAMES), 10 ** rng.uniform(np.log10(2), 2.2)
    swing = np.exp(-t / rng.uniform(50, 500)) * np.cos(2 * np.pi * t / period)
    shape = 1 + 0.7 * swing if rng.random() < 0.5 else 1 + np.abs(np.sin(np.pi * t / period))
    return counted(rng, shape, 10 ** rng.uniform(1.3, 6))


@pytest.mark.thorough("False-maximum")
@pytest.mark.parametrize("make", [steps, short_levels, onset, maximum, oscillation])
@pytest.mark.parametrize("errors", [True, False])
def test_physics_is_no_outlier(make: Make, errors: bool) -> None:
    rng = np.random.default_rng(7)
    assert not any(found(make(rng), errors).any() for _ in range(40))


@pytest.mark.parametrize(("frames", "part"), [(1, 0.0), (1, 0.5), (2, 0.1), (2, 0.6), (1, 1.7)])
@pytest.mark.parametrize("background", [steps, onset, oscillation])
def test_a_dump_and_half_a_read_out_are_found_in_all_rois(frames: int, part: float, background: Make) -> None:
    """On curved ground, too, but far from where it bends."""
    rng = np.random.default_rng(8)
    curve = np.exp(0.002 * np.arange(FRAMES))
    for _ in range(10):
        at = int(rng.integers(30, FRAMES - 30))
        shape = curve.copy()
        shape[at : at + frames] *= part
        seen = found(counted(rng, shape, 3e4))
        assert seen[at : at + frames].all()
        assert np.count_nonzero(seen) == frames * len(ROIS)


def test_a_cosmic_is_found_in_its_roi_alone() -> None:
    rng = np.random.default_rng(9)
    values = counted(rng, np.ones(FRAMES), 2000)
    values[77, 1] += 2500
    assert np.argwhere(found(values)).tolist() == [[77, 1]]


def test_a_dip_that_all_share_is_found_though_no_roi_shows_it_alone() -> None:
    rng = np.random.default_rng(10)
    values = rng.poisson(1000.0, (FRAMES, 8)).astype(float)
    values[200] = rng.poisson(800.0, 8)
    assert not any(found(values[:, [roi]])[200].any() for roi in range(8))
    seen = found(values)
    assert seen[200].all()
    assert np.count_nonzero(seen) == 8


def test_one_roi_alone_is_not_shared() -> None:
    rng = np.random.default_rng(11)
    values = rng.poisson(1000.0, (FRAMES, 4)).astype(float)
    values[200, 0] = 90000.0
    assert np.argwhere(found(values)).tolist() == [[200, 0]]


def test_gaps_ends_and_short_series() -> None:
    rng = np.random.default_rng(12)
    values = rng.poisson(1000.0, (60, 2)).astype(float)
    values[[0, 59]] = 0
    values[30] = 0
    values[28:30, 0] = np.nan
    values[31, 1] = np.nan
    seen = found(values)
    assert np.argwhere(seen).tolist() == [[30, 1]]  # beside ROI 0 too little is known; the ends have one side only
    assert not found(values[20:39]).any()
    assert not found(np.full((50, 2), np.nan)).any()
    assert not found(np.zeros((50, 2)), errors=False).any()
    assert found(np.zeros((0, 3))).shape == (0, 3)


def test_one_value_repeated_shows_no_noise() -> None:
    values = np.full((80, 1), 5.0)
    values[40] = 6.0
    assert not found(values, errors=False).any()


def test_long_series_looked_at_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    luck = np.random.default_rng(5)
    values = luck.poisson(400, (300, 3)).astype(float)
    values[[6, 7, 41, 299], [0, 0, 1, 2]] = 5.0
    values[100:103] = np.nan
    errors = np.sqrt(values)
    expected = outliers(values, errors)
    assert expected[[6, 7, 41], [0, 0, 1]].all()
    monkeypatch.setattr("xinsitu.kernels.spikes.AT_ONCE", 7)
    np.testing.assert_array_equal(outliers(values, errors), expected)
